package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/penstock/penstock/internal/pgtest"
)

const transcripts = "../internal/pgtest/testdata"

// What a client sees through the pooler is what it sees from PostgreSQL, while
// others use the same server connections.
func TestTranscriptsThroughEachMode(t *testing.T) {
	h := house(t)
	tidy(t, h)
	p := open(t, h.Config())
	noise(t, p.DSN("tx"), 4)
	noise(t, p.DSN("sess"), 4)
	others := map[string]pgtest.Target{}
	for _, database := range []string{"tx", "sess"} {
		target := p.Target(database)
		others[database] = target
		target.OneByteWrites = true
		others[database+", one byte"] = target
	}
	pgtest.RunDir(t, transcripts, h.Cluster.Primary.Target("postgres"), others)
}

// Transcripts without transactions of their own hold in statement mode too.
func TestTranscriptsThroughStatementMode(t *testing.T) {
	h := house(t)
	tidy(t, h)
	p := open(t, h.Config())
	noise(t, p.DSN("stmt"), 4)
	target := p.Target("stmt")
	pieces := target
	pieces.OneByteWrites = true
	pgtest.RunDir(t, withoutTransactions(t), h.Cluster.Primary.Target("postgres"),
		map[string]pgtest.Target{"stmt": target, "stmt, one byte": pieces})
}

// withoutTransactions returns a folder with the transcripts in which nobody is
// ever inside a transaction.
func withoutTransactions(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(transcripts, "*.pgt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(`"TxStatus":"T"`)) || bytes.Contains(data, []byte(`"TxStatus":"E"`)) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tidy drops the tables that a transcript leaves behind when it breaks off.
func tidy(t *testing.T, h *House) {
	t.Helper()
	err := h.Cluster.Primary.Exec(t.Context(), "postgres", `DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT oid::regclass FROM pg_class WHERE relname LIKE 'pgt\_%' AND relkind = 'r'
		LOOP EXECUTE 'DROP TABLE ' || name; END LOOP; END $$`)
	if err != nil {
		t.Fatal(err)
	}
}
