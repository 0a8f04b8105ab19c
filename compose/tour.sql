-- Orders are on PostgreSQL, with a replica; what was returned is on MariaDB, what happened on MongoDB. One statement reads all.
DROP TABLE IF EXISTS happened;
DROP TABLE IF EXISTS returned;
DROP TABLE IF EXISTS orders;
CREATE TABLE orders (id int PRIMARY KEY, customer text NOT NULL, total numeric(12,2) NOT NULL);
CREATE TABLE returned (order_id int PRIMARY KEY, reason text) WITH (datastore = 'archive');
CREATE TABLE happened (order_id int, what text, PRIMARY KEY (order_id, what)) WITH (datastore = 'events');
INSERT INTO orders VALUES (1, 'Ada', 10.50), (2, 'Grace', 20.00), (3, 'Edsger', 7.25);
INSERT INTO returned VALUES (2, 'too large');
INSERT INTO happened VALUES (1, 'sent'), (2, 'sent'), (2, 'back');
SELECT o.customer, o.total, r.reason, count(h.what) AS events
FROM orders o LEFT JOIN returned r ON r.order_id = o.id LEFT JOIN happened h ON h.order_id = o.id
GROUP BY o.id, o.customer, o.total, r.reason ORDER BY o.id;
SELECT datastore, datasource, role, reachable FROM dataman.replicas ORDER BY 1, 2;
SET dataman.read = any;
EXPLAIN ANALYZE SELECT sum(total) FROM orders;
