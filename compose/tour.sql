-- Orders are on PostgreSQL, with a replica; what was returned is on MariaDB. One statement reads both.
DROP TABLE IF EXISTS returned;
DROP TABLE IF EXISTS orders;
CREATE TABLE orders (id int PRIMARY KEY, customer text NOT NULL, total numeric(12,2) NOT NULL);
CREATE TABLE returned (order_id int PRIMARY KEY, reason text) WITH (datastore = 'archive');
INSERT INTO orders VALUES (1, 'Ada', 10.50), (2, 'Grace', 20.00), (3, 'Edsger', 7.25);
INSERT INTO returned VALUES (2, 'too large');
SELECT o.customer, o.total, r.reason FROM orders o LEFT JOIN returned r ON r.order_id = o.id ORDER BY o.id;
SELECT datastore, datasource, role, reachable FROM dataman.replicas ORDER BY 1, 2;
SET dataman.read = any;
EXPLAIN ANALYZE SELECT sum(total) FROM orders;
