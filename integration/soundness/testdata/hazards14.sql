-- What PostgreSQL 13 does not have.
CREATE FUNCTION atomic_reads(i int) RETURNS int STABLE LANGUAGE sql BEGIN ATOMIC SELECT id FROM nodes; SELECT i + 1; END;
CREATE FUNCTION atomic_writes(i int) RETURNS int STABLE LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT counts(i); END;
CREATE STATISTICS with_statistics_x ON (id + lies_immutable(1)), n FROM with_statistics;
ANALYZE with_statistics;
