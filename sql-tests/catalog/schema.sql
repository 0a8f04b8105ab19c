CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE customers (
  id bigint PRIMARY KEY, name text NOT NULL, email varchar(80) DEFAULT 'none', born date, mood mood DEFAULT 'ok',
  score numeric(8,2) DEFAULT 0.5 CHECK (score >= 0), tags text[], created timestamptz DEFAULT CURRENT_TIMESTAMP,
  code char(3), note text DEFAULT NULL, slot int DEFAULT (1 + 2) * 3, day date DEFAULT CURRENT_DATE,
  CONSTRAINT name_len CHECK (length(name) > 1 AND name <> 'x'),
  CHECK (code IN ('a', 'b') OR slot NOT BETWEEN 1 AND 5 AND NOT (email LIKE 'x%')),
  CHECK (CASE WHEN slot > 1 THEN score > 0.1 ELSE true END));
CREATE TABLE orders (
  customer bigint NOT NULL REFERENCES customers (id) ON DELETE CASCADE, no integer NOT NULL, amount numeric(10,2),
  note text, flag boolean DEFAULT true, PRIMARY KEY (customer, no), CONSTRAINT orders_note_key UNIQUE (customer, note));
CREATE INDEX customers_name ON customers (name DESC);
CREATE INDEX customers_lower ON customers (lower(name), (score * 2) DESC NULLS LAST);
CREATE INDEX customers_rich ON customers (born) WHERE score > 100 AND name IS NOT NULL;
CREATE INDEX orders_amount ON orders (amount);
CREATE SEQUENCE ticket START 100 INCREMENT BY 5 MAXVALUE 100000 CYCLE;
CREATE TABLE items (
  id serial PRIMARY KEY, price double precision, qty int, label char(5), ratio real, data jsonb, at time,
  gen bigint GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (qty * 2) STORED);
CREATE VIEW happy AS SELECT id, name, score FROM customers WHERE mood = 'happy' AND score > 10 ORDER BY name;
CREATE VIEW per_customer AS
  SELECT c.name, count(*) AS n, sum(o.amount) AS total FROM customers c JOIN orders o ON o.customer = c.id
  GROUP BY c.name HAVING count(*) > 1 ORDER BY 2 DESC LIMIT 10;
CREATE VIEW rated (who, level) AS
  SELECT c.name, CASE WHEN c.score > 5 THEN 'high' ELSE 'low' END FROM customers c
  WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer = c.id) AND c.id IN (SELECT o.customer FROM orders o);
CREATE VIEW everybody AS SELECT name FROM customers UNION ALL SELECT who FROM rated;
COMMENT ON TABLE customers IS 'who buys';
COMMENT ON COLUMN customers.name IS 'full name';
COMMENT ON INDEX customers_name IS 'by name';
COMMENT ON VIEW happy IS 'the happy ones';
COMMENT ON SEQUENCE ticket IS 'numbers';
CREATE SCHEMA other;
CREATE TABLE other.things (a int, b text, c uuid, d interval, e bytea);
