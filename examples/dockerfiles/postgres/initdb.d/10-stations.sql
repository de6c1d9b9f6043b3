CREATE TABLE stations (name text PRIMARY KEY, height integer NOT NULL);

INSERT INTO stations VALUES ('Hafen', 4), ('Gipfel', 2962);
