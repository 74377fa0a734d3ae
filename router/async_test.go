package router

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// inASCII is text in lower case as PostgreSQL compares names of settings:
// letters outside of ASCII stay what they are.
func inASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, text)
}

func TestContainsFold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"set_config": true, "SET_CONFIG": true, "x Set_Config('a')": true, "set_confi": false, "": false, "sset_config": true,
		"set_confset_config": true, "ſet_config": false, "set_confıg": false, "set_confİg": false, "set\x00_config": false,
	} {
		if got := containsFold(text, "set_config"); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
	const letters = "sSeEtT_cCoOnNfFiIgGſİxK "
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var b strings.Builder
		for range r.IntN(30) {
			switch r.IntN(4) {
			case 0:
				b.WriteString([]string{"set_", "SET_", "config", "CoNfIg", "conf"}[r.IntN(5)])
			default:
				b.WriteRune([]rune(letters)[r.IntN(len([]rune(letters)))])
			}
		}
		text := b.String()
		for _, word := range []string{"set_config", "set", "tt", "i"} {
			if got, want := containsFold(text, word), strings.Contains(inASCII(text), word); got != want {
				t.Fatalf("%q in %q: %t", word, text, got)
			}
		}
	}
}

func FuzzContainsFold(f *testing.F) {
	f.Add("SELECT Set_Config('x', 'y', false)", "set_config")
	f.Add("SET synchronous_COMMIT", "synchronous_commit")
	f.Add("sſ\xc5K\xff", "s")
	f.Fuzz(func(t *testing.T, text, word string) {
		if word == "" || word != inASCII(word) || word[0] < 'a' || word[0] > 'z' || strings.ContainsFunc(word, func(r rune) bool { return r > 'z' }) {
			t.Skip()
		}
		if got, want := containsFold(text, word), strings.Contains(inASCII(text), word); got != want && strings.ToValidUTF8(text, "") == text {
			t.Fatalf("%q in %q: %t", word, text, got)
		}
	})
}

func TestATextThatMayTurnFlushesOffIsRememberedForEver(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"SET synchronous_commit = off":                     true,
		"alter role bob set SYNCHRONOUS_COMMIT to 'off'":   true,
		"select pg_catalog.Set_Config('a'||'b','c',false)": true,
		"select 1":                      false,
		"set synchronous_commi_t = off": false,
		"show default_tablespace":       false,
	} {
		c := still(t, 2)
		c.NoteText("select 0")
		c.NoteText(text)
		if c.async.Load() != want {
			t.Errorf("%s: %t", text, c.async.Load())
		}
		c.NoteText("select 2")
		c.Apply(Settings{})
		if c.async.Load() != want {
			t.Errorf("%s: %t after others", text, c.async.Load())
		}
	}
	c := still(t, 2)
	if c.Unflushed(); !c.async.Load() {
		t.Error("what is said at a login is not remembered")
	}
}

func TestTheFlushPositionCoversOnlyWhereItIsKnownTo(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		flushes, async, primary bool
		want                    LSN
	}{
		{flushes: false, async: false, primary: true, want: 200}, // it was not asked yet
		{flushes: false, async: true, primary: true, want: 200},
		{flushes: true, async: true, primary: true, want: 200},
		{flushes: true, async: false, primary: true, want: 150},
		{flushes: true, async: false, primary: false, want: 200}, // of a replica: what it has replayed
	} {
		c := still(t, 2)
		c.flushes.Store(row.flushes)
		c.async.Store(row.async)
		m := c.hosts[0]
		m.flushed, m.asked = 150, m.prober
		if row.primary {
			m.asked = c.prober
		}
		if got := c.covered(m, place(1, 200)); got != place(1, row.want) {
			t.Errorf("%+v: %+v", row, got)
		}
	}
}

func TestANewPrimaryIsAskedAgainAboutFlushes(t *testing.T) {
	t.Parallel()
	c := still(t, 2)
	c.flushes.Store(true)
	c.snapshotStale()
	if c.flushes.Load() || len(c.reload) != 1 {
		t.Error("the old primary's answer holds for the new one")
	}
}
