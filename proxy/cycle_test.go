package proxy

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/router"
)

// verdicts is a classifier that knows what each text is.
type verdicts map[string]router.Class

func (v verdicts) Classify(text string) router.Class  { return v[text] }
func (v verdicts) ClassOf(st *Statement) router.Class { return v[st.text()] }

func someVerdicts() verdicts {
	return verdicts{
		"read":    {Reason: router.ReasonSafeRead, Rules: 1},
		"other":   {Reason: router.ReasonSafeRead, Rules: 2, Fingerprint: 7},
		"wish":    {Reason: router.ReasonSafeRead, Hint: sqlscan.HintReplica},
		"duty":    {Reason: router.ReasonSafeRead, Hint: sqlscan.HintPrimary, Rules: 4},
		"catalog": {Reason: router.ReasonSystemCatalog, Transaction: router.TransactionReadOnly},
		"begin":   {Reason: router.ReasonTransaction, Transaction: router.TransactionBegins},
		"write":   {Reason: router.ReasonWrite, Rules: 8},
	}
}

// sessionWith makes a session that has prepared "read" as k and "write" as w,
// and has the unnamed statement of a text, "" for none.
func sessionWith(t testing.TB, unnamed string) *session {
	t.Helper()
	s := newWorld(t, nil).session(modeTransaction, nil)
	prepare := func(text string) *Statement { return s.srv.statements.statement([]byte(text + "\x00\x00\x00")) }
	s.statements = map[string]named{"k": {prepare("read"), 0}, "w": {prepare("write"), 0}}
	if unnamed != "" {
		s.unnamed = slot{now: prepare(unnamed), next: prepare(unnamed)}
	}
	return s
}

// A cycle ends at the bar; what stands behind it, or a cycle without one, is
// not part of it.
func TestFirstCycle(t *testing.T) {
	t.Parallel()
	class := func(reason router.Reason, rules router.RuleSet) router.Class {
		return router.Class{Reason: reason, Rules: rules}
	}
	for frames, want := range map[string]router.Class{
		"Q(read)|":          class(router.ReasonSafeRead, 1),
		"Q(write)| Q(read)": class(router.ReasonWrite, 8),
		"Q(read)| S":        class(router.ReasonSafeRead, 1),

		"P(,read) B(,) D(P,) E() S|":          class(router.ReasonSafeRead, 1),
		"P(,read) B(,) E() H E() S|":          class(router.ReasonSafeRead, 1),
		"P(a,read) S|":                        class(router.ReasonSafeRead, 1),
		"B(,) E() S|":                         class(router.ReasonWrite, 8), // the session's
		"D(S,) S|":                            class(router.ReasonWrite, 8),
		"P(,read) B(,) S| B(,) S":             class(router.ReasonSafeRead, 1),
		"B(,k) E() S|":                        class(router.ReasonSafeRead, 1),
		"D(S,k) S|":                           class(router.ReasonSafeRead, 1),
		"B(,k) C(S,k) C(P,) E() S|":           class(router.ReasonSafeRead, 1),
		"B(,w) S|":                            class(router.ReasonWrite, 8),
		"B(,k) B(,w) B(,k) S|":                class(router.ReasonWrite, 9),
		"B(,w) B(,k) S|":                      class(router.ReasonWrite, 9),
		"P(a,write) B(,k) S|":                 class(router.ReasonWrite, 9),
		"P(a,read) P(b,other) B(,a) B(,b) S|": class(router.ReasonSafeRead, 3),
		"P(a,read) P(a,write) B(,a) S|":       class(router.ReasonWrite, 9), // the server refuses it
		"P(a,read) P(b,read) P(c,read) P(d,read) P(,read) B(,d) S|": class(router.ReasonSafeRead, 1),

		"P(,wish) B(,k) S|":             {Reason: router.ReasonSafeRead, Hint: sqlscan.HintReplica, Rules: 1},
		"B(,k) P(,wish) S|":             {Reason: router.ReasonSafeRead, Hint: sqlscan.HintReplica, Rules: 1},
		"P(,duty) P(,wish) S|":          {Reason: router.ReasonSafeRead, Hint: sqlscan.HintPrimary, Rules: 4},
		"P(,wish) P(,duty) S|":          {Reason: router.ReasonSafeRead, Hint: sqlscan.HintPrimary, Rules: 4},
		"P(,duty) P(,write) S|":         {Reason: router.ReasonWrite, Hint: sqlscan.HintPrimary, Rules: 12},
		"P(,catalog) P(,begin) S|":      {Reason: router.ReasonTransaction, Transaction: router.TransactionBegins | router.TransactionReadOnly},
		"P(,begin) P(,catalog) S|":      {Reason: router.ReasonTransaction, Transaction: router.TransactionBegins | router.TransactionReadOnly},
		"P(a,other) P(,read) S|":        {Reason: router.ReasonSafeRead, Fingerprint: 7, Rules: 3},
		"B(,k) P(,other) B(,k) S|":      {Reason: router.ReasonSafeRead, Rules: 3},
		"P(,read) D(P,) B(p,) S|":       class(router.ReasonSafeRead, 1),
		"P(,read) B(p,) E(p) S| E(p) S": class(router.ReasonSafeRead, 1),
	} {
		checkCycle(t, sessionWith(t, "write"), frames, want)
	}
}

func checkCycle(t *testing.T, s *session, story string, want router.Class) {
	t.Helper()
	cycle, behind, _ := strings.Cut(story, "|")
	p := frames(cycle, true)
	size := len(p)
	c := s.firstCycle(append(p, frames(behind, true)...), someVerdicts())
	if c.size != size || c.class != want {
		t.Errorf("%s: %d bytes of class %+v, want %d of %+v", story, c.size, c.class, size, want)
	}
	if portals := strings.Contains(cycle, "B(p,"); c.portals != portals {
		t.Errorf("%s: portals %t", story, c.portals)
	}
	if text, simple := strings.CutPrefix(cycle, "Q("); simple != (c.text != "") || simple && c.text != strings.TrimSuffix(text, ")") {
		t.Errorf("%s: the text is %q", story, c.text)
	}
}

func TestWhatIsNeverRoutedIsNoCycle(t *testing.T) {
	t.Parallel()
	for name, p := range map[string][]byte{
		"nothing":                        nil,
		"half a header":                  []byte("Q\x00\x00"),
		"a query without its end":        []byte("Q\x00\x00\x00\x09rea"),
		"a text without NUL":             []byte("Q\x00\x00\x00\x08read"),
		"a query without a text":         []byte("Q\x00\x00\x00\x04"),
		"garbage behind the text":        []byte("Q\x00\x00\x00\x0aread\x00x"),
		"another text behind the first":  []byte("Q\x00\x00\x00\x0fread\x00write\x00"),
		"a length that is too small":     []byte("Q\x00\x00\x00\x03read\x00"),
		"a negative length":              []byte("Q\xff\xff\xff\xffread\x00"),
		"an unknown type":                []byte("y\x00\x00\x00\x04"),
		"only a Sync":                    frames("S", true),
		"nothing that is judged":         frames("E() C(P,) H C(S,k) D(P,) S", true),
		"no Sync":                        frames("P(,read) B(,) E()", true),
		"no Sync but a Flush":            frames("P(,read) B(,) E() H", true),
		"half a Sync":                    append(frames("P(,read)", true), 'S', 0, 0),
		"a query before the Sync":        frames("P(,read) Q(read)", true),
		"a function call":                frames("F", true),
		"a function call before it":      frames("P(,read) F S", true),
		"COPY data":                      frames("P(,read) B(,) E() d(x) c S", true),
		"the end of a COPY":              frames("c", true),
		"its failure":                    frames("P(,read) f(x) S", true),
		"a goodbye":                      frames("X", true),
		"a statement that is unknown":    frames("B(,x) E() S", true),
		"one that is unknown yet":        frames("B(,a) P(a,read) S", true),
		"Describe of an unknown one":     frames("P(,read) D(S,x) S", true),
		"no unnamed statement":           frames("B(,) S", true),
		"a name that is taken":           frames("P(k,read) S", true),
		"more names than are remembered": frames("P(a,read) P(b,read) P(c,read) P(d,read) P(e,read) S", true),
		"a Parse without a name":         []byte("P\x00\x00\x00\x05aS\x00\x00\x00\x04"),
		"a Bind without a statement":     []byte("B\x00\x00\x00\x06\x00kS\x00\x00\x00\x04"),
		"a Describe without an end":      []byte("D\x00\x00\x00\x06SkS\x00\x00\x00\x04"),
		"a frame that lies in a batch":   append(frames("P(,read)", true), "E\x7f\x00\x00\x00S\x00\x00\x00\x04"...),
	} {
		s := sessionWith(t, "")
		if c := s.firstCycle(p, someVerdicts()); c.size != 0 {
			t.Errorf("%s: %d bytes of class %+v", name, c.size, c.class)
		}
	}
}

func TestClosedOrNewNamesAreLookedUpInTheOrderOfTheBatch(t *testing.T) {
	t.Parallel()
	s := sessionWith(t, "read")
	for story, want := range map[string]router.Reason{
		"B(,) P(,write) S":       router.ReasonWrite,
		"P(,read) B(,) S":        router.ReasonSafeRead,
		"P(a,catalog) B(,a) S":   router.ReasonSystemCatalog,
		"P(a,read) P(b,write) S": router.ReasonWrite,
	} {
		if c := s.firstCycle(frames(story, true), someVerdicts()); c.class.Reason != want {
			t.Errorf("%s: %s, want %s", story, c.class.Reason, want)
		}
	}
}

func TestExtentIsTheFirstCycleOrAllThereIs(t *testing.T) {
	t.Parallel()
	for story, want := range map[string]string{
		"Q(a) Q(b)":             "Q(a)",
		"P(,a) B(,) E() S Q(b)": "P(,a) B(,) E() S",
		"F S":                   "F",
		"S S":                   "S",
		"H P(,a) Q(b) S":        "H P(,a) Q(b)",
		"P(,a) B(,)":            "P(,a) B(,)",
		"":                      "",
	} {
		if got := extent(frames(story, true)); got != len(frames(want, true)) {
			t.Errorf("%s: %d, want %d", story, got, len(frames(want, true)))
		}
	}
	for _, rest := range []string{"Q", "Q\x00\x00\x00\x09rea", "y\x00\x00\x00\x04", "S\x00\x00\x00\x03"} {
		p := append(frames("P(,a)", true), rest...)
		if got := extent(p); got != len(p) {
			t.Errorf("%q behind a Parse: %d, want all %d", rest, got, len(p))
		}
	}
}

func TestOnlyPortals(t *testing.T) {
	t.Parallel()
	for story, want := range map[string]bool{
		"S": true, "E(p) S": true, "E(p) H E(p) S": true, "D(P,p) E(p) C(P,p) S": true, "C(S,k) S": true, "E(p) S Q(write)": true,
		"": false, "E(p)": false, "E(p) H": false, "B(p,k) E(p) S": false, "P(,x) S": false, "D(S,k) S": false, "Q(x)": false, "E(p) Q(x)": false,
		"F": false, "d(x) S": false, "D S": false,
	} {
		if got := onlyPortals(frames(story, true)); got != want {
			t.Errorf("%s: %t", story, got)
		}
	}
	for _, p := range []string{"E\x00\x00\x00\x09S\x00\x00\x00\x04", "E\x00\x00\x00\x03S\x00\x00\x00\x04", "D\x00\x00\x00\x06", "y\x00\x00\x00\x04S\x00\x00\x00\x04"} {
		if onlyPortals([]byte(p)) {
			t.Errorf("%q is taken for portals", p)
		}
	}
}

// endOfCycle is the end of the first cycle in p, 0 if it is not whole: it goes
// by the manual's list of frames and not by our code.
func endOfCycle(p []byte) int {
	for pos := 0; pos+5 <= len(p); {
		n := 1 + int(int32(uint32(p[pos+1])<<24|uint32(p[pos+2])<<16|uint32(p[pos+3])<<8|uint32(p[pos+4])))
		if n < 5 || pos+n > len(p) || !strings.ContainsRune("QPBEDCHS", rune(p[pos])) {
			return 0
		}
		typ := p[pos]
		if pos += n; typ == 'S' || typ == 'Q' {
			return pos
		}
	}
	return 0
}

func FuzzFirstCycle(f *testing.F) {
	f.Add(frames("Q(read) Q(write)", true))
	f.Add(frames("P(,read) B(p,) D(P,p) E(p) H C(P,p) S Q(x)", true))
	f.Add(frames("P(a,read) P(b,write) B(,a) D(S,b) C(S,k) B(,k) S S", true))
	f.Add(frames("P(a,read) P(b,read) P(c,read) P(d,read) P(e,read) S", true))
	f.Add(frames("E(p) S d(x) c F X", true))
	f.Add([]byte("B\x00\x00\x00\x06\x00k"))
	f.Add([]byte("D\x00\x00\x00\x04S\x00\x00\x27\x10"))
	f.Add([]byte("S\x7f\xff\xff\xff"))
	s := sessionWith(f, "read")
	statements, unnamed := len(s.statements), s.unnamed
	f.Fuzz(func(t *testing.T, in []byte) {
		p := bytes.Clone(in)
		p = slices.Clip(p)
		c := s.firstCycle(p, someVerdicts())
		end := endOfCycle(p)
		switch {
		case c.size != 0 && c.size != end:
			t.Fatalf("%q: %d bytes, want 0 or %d", p, c.size, end)
		case c.size != 0 && extent(p) != c.size:
			t.Fatalf("%q: the extent is %d, the cycle %d", p, extent(p), c.size)
		case c.size == 0 && (c.text != "" || c.class != router.Class{}):
			t.Fatalf("%q: no cycle, but %+v", p, c)
		case c.size != 0 && onlyPortals(p):
			t.Fatalf("%q uses only portals, and has a class: %+v", p, c.class)
		}
		if n := extent(p); n > len(p) || n == 0 && len(p) > 0 {
			t.Fatalf("%q: the extent is %d", p, n)
		}
		if !bytes.Equal(p, in) || len(s.statements) != statements || s.unnamed != unnamed {
			t.Fatalf("%q: looking at it has changed something", p)
		}
	})
}

// Whole frames in any order, and cut anywhere, are what fuzzing finds rarely.
func TestFirstCycleOfRandomFrames(t *testing.T) {
	t.Parallel()
	kinds := []string{"Q(read)", "P(,read)", "P(a,write)", "P(b,read)", "P(k,read)", "B(,)", "B(p,a)", "B(,k)", "B(,x)", "D(S,k)", "D(P,)", "E()", "C(S,k)", "H", "S", "S", "F", "d(x)", "c", "f(x)", "X"}
	s := sessionWith(t, "read")
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var story []string
		for range 1 + r.IntN(8) {
			story = append(story, kinds[r.IntN(len(kinds))])
		}
		p := frames(strings.Join(story, " "), true)
		if r.IntN(3) == 0 {
			p = p[:r.IntN(len(p)+1)]
		}
		if c := s.firstCycle(p, someVerdicts()); c.size != 0 && c.size != endOfCycle(p) {
			t.Fatalf("seed %d: %s: %d bytes, want 0 or %d", seed, strings.Join(story, " "), c.size, endOfCycle(p))
		}
	}
}

// keywords are all that a BEGIN or an end of a transaction may hold.
const keywords = " BEGIN START TRANSACTION WORK READ ONLY WRITE DEFERRABLE NOT ISOLATION LEVEL SERIALIZABLE REPEATABLE COMMITTED UNCOMMITTED COMMIT END ROLLBACK ABORT "

// strangeWord returns a word of a text that is none of the keywords, in ASCII
// letters of either case, as PostgreSQL reads them; "" if there is none.
func strangeWord(text string) string {
	text = strings.TrimRight(text, "; \t\n\r\f")
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(" \t\n\r\f,", r) }) {
		upper := []byte(word)
		for i, c := range upper {
			if c >= 'a' && c <= 'z' {
				upper[i] = c - 'a' + 'A'
			}
		}
		if !strings.Contains(keywords, " "+string(upper)+" ") {
			return word
		}
	}
	return ""
}

// FuzzParseBegin: what is answered without a server is understood to the last word.
func FuzzParseBegin(f *testing.F) {
	f.Add("begin read only, isolation level serializable;")
	f.Add("START\tTRANSACTION not deferrable ; ;")
	f.Add("begin work;select 1")
	f.Add("commit and chain")
	f.Add("end transaction")
	f.Add("begin\x00")
	f.Fuzz(func(t *testing.T, text string) {
		_, begins := parseBegin(text)
		end := parseEnd(text)
		if begins && end != "" {
			t.Fatalf("%q is a BEGIN and its end", text)
		}
		if !begins && end == "" {
			return
		}
		if word := strangeWord(text); word != "" {
			t.Fatalf("%q is taken for a BEGIN or an end, in spite of %q", text, word)
		}
		if again, ok := parseBegin(strings.ToLower(text) + " ;"); begins && !ok && len(text) < 100 {
			t.Fatalf("%q is one, and in lower case it is not: %+v", text, again)
		}
	})
}

func TestCycleTextPointsIntoTheBytes(t *testing.T) {
	s := sessionWith(t, "")
	p := wire.AppendString(nil, wire.Query, "read")
	c := s.firstCycle(p, someVerdicts())
	if n := testing.AllocsPerRun(100, func() { c = s.firstCycle(p, verdicts(nil)) }); n != 0 && !racing {
		t.Errorf("%v allocations for a simple query", n)
	}
	copy(p[wire.HeaderSize:], "READ")
	if c.text != "READ" {
		t.Errorf("the text was copied: %q", c.text)
	}
}
