package pgtest_test

import (
	"flag"
	"testing"

	"github.com/penstock/penstock/internal/pgtest"
)

var _ = flag.Bool("rewrite", false, "record the answers of the transcripts anew")

// The starter set, recorded from PostgreSQL 15, against itself: the second run
// finds objects that the first left behind, the third messages in pieces.
func TestTranscripts(t *testing.T) {
	c := pgtest.StartT(t, pgtest.Options{})
	oracle := c.Primary.Target("postgres")
	pieces := oracle
	pieces.OneByteWrites = true
	pgtest.RunDir(t, "testdata", oracle, map[string]pgtest.Target{"again": oracle, "one byte": pieces})
}
