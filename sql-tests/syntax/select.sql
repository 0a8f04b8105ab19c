select * from a join b using (c) as d;
