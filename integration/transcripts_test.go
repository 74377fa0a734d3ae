package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/pgtest"
)

const transcripts = "../internal/pgtest/testdata"

// differences holds the transcripts of what is different through Penstock, by a
// decision that each of them names. They take the place of those of the same
// name, and what is recorded in them came through Penstock.
const differences = "testdata/differences"

// What a client sees through the pooler is what it sees from PostgreSQL, while
// others use the same server connections.
func TestTranscriptsThroughEachMode(t *testing.T) {
	h := house(t)
	tidy(t, h)
	p := open(t, h.Config())
	noise(t, p.DSN("tx"), 4)
	noise(t, p.DSN("sess"), 4)
	pgtest.RunDir(t, equalOnes(t, h), h.Cluster.Primary.Target("postgres"), targets(p, "tx", "sess"))
}

// The same holds where reads run on a replica.
func TestTranscriptsThroughRouting(t *testing.T) {
	h := house(t)
	tidy(t, h)
	p := open(t, h.Config())
	noise(t, p.DSN("routed"), 4)
	pgtest.RunDir(t, equalOnes(t, h), h.Cluster.Primary.Target("postgres"), targets(p, "routed"))
	if s := p.Server.Routes(); !strings.Contains(s, "safe-read=0/") {
		t.Errorf("no read has run on the replica: %s", s)
	} else {
		t.Log(s)
	}
}

// Transcripts without transactions of their own hold in statement mode too.
func TestTranscriptsThroughStatementMode(t *testing.T) {
	h := house(t)
	tidy(t, h)
	p := open(t, h.Config())
	noise(t, p.DSN("stmt"), 4)
	pgtest.RunDir(t, withoutTransactions(t, h), h.Cluster.Primary.Target("postgres"), targets(p, "stmt"))
}

func TestDifferencesAreThoseWeDecidedOn(t *testing.T) {
	h := house(t)
	tidy(t, h)
	p := open(t, h.Config())
	noise(t, p.DSN("tx"), 4)
	pgtest.RunDir(t, differences, p.Target("tx"), targets(p, "tx"))
}

// targets are databases, each with whole writes and with writes of one byte.
func targets(p *Penstock, databases ...string) map[string]pgtest.Target {
	all := map[string]pgtest.Target{}
	for _, database := range databases {
		target := p.Target(database)
		all[database] = target
		target.OneByteWrites = true
		all[database+", one byte"] = target
	}
	return all
}

// equalOnes returns a folder of links to the transcripts that come out equal.
func equalOnes(t *testing.T, h *House) string {
	t.Helper()
	return selected(t, h, func(name string, _ []byte) bool {
		_, err := os.Stat(filepath.Join(differences, name))
		return err != nil
	})
}

// withoutTransactions leaves those in which nobody is ever in a transaction.
func withoutTransactions(t *testing.T, h *House) string {
	t.Helper()
	return selected(t, h, func(name string, data []byte) bool {
		_, err := os.Stat(filepath.Join(differences, name))
		return err != nil && !bytes.Contains(data, []byte(`"TxStatus":"T"`)) && !bytes.Contains(data, []byte(`"TxStatus":"E"`))
	})
}

// recordedFrom is the major version of PostgreSQL that the transcripts are from.
const recordedFrom = 15

// selected returns a folder with the transcripts that want says yes to: links,
// so that -rewrite reaches the files; on another version of PostgreSQL, whose
// answers differ here and there, copies recorded from it now.
func selected(t *testing.T, h *House, want func(name string, data []byte) bool) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(transcripts, "*.pgt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		data, err := os.ReadFile(file)
		if err == nil && h.Cluster.Version != recordedFrom {
			data, err = record(t, h, name, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !want(name, data) || name == "parameter_status.pgt" && h.Cluster.Version != recordedFrom {
			continue // several ParameterStatus at once come in an order that each version has for itself
		}
		place := filepath.Join(dir, name)
		if h.Cluster.Version != recordedFrom {
			err = os.WriteFile(place, data, 0o600)
		} else if file, err = filepath.Abs(file); err == nil {
			err = os.Symlink(file, place)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// record plays a transcript on the primary and returns it with its answers.
func record(t *testing.T, h *House, name string, data []byte) ([]byte, error) {
	t.Helper()
	transcript, err := pgtest.Parse(name, data)
	if err != nil {
		return nil, err
	}
	return pgtest.Run(t.Context(), h.Cluster.Primary.Target("postgres"), transcript)
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
