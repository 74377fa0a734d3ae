package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/penstock/penstock/internal/config"
)

func TestIndexFindsTheLineOfEachKey(t *testing.T) {
	t.Parallel()
	text := strings.Join([]string{
		/*  1 */ "# a comment = 1",
		/*  2 */ "top = 'x' # [no.table]",
		/*  3 */ "[a]",
		/*  4 */ "  b.c = 1",
		/*  5 */ `  "quoted key" = "with # and \" and = inside"`,
		/*  6 */ `  list = [ "x", # one`,
		/*  7 */ "     'y', [1,",
		/*  8 */ "       2] , {k = 1, l = { m = 2 }} ]",
		/*  9 */ `  long = """`,
		/* 10 */ "[fake]",
		/* 11 */ `key = \""" 1""""`,
		/* 12 */ "  raw = '''",
		/* 13 */ `  \ ''''`,
		/* 14 */ "  after = 1979-05-27T07:32:00Z",
		/* 15 */ "[a.'*'.d]",
		/* 16 */ "e=1",
		/* 17 */ "[[rules]]",
		/* 18 */ "t = 1",
		/* 19 */ "[rules.sub]",
		/* 20 */ "u = 2",
		/* 21 */ "[[ rules ]]\r",
		/* 22 */ "t = 1",
		/* 23 */ "[[rules.deep]]",
		/* 24 */ "v = -inf",
		/* 25 */ "[a.'*']",
		/* 26 */ `"tab\tkey" . x = true`,
	}, "\n")
	for key, want := range map[string]int{
		"top": 2, "a": 3, "a.b": 4, "a.b.c": 4, `a."quoted key"`: 5, "a.list": 6, "a.list[0]": 6, "a.list[1]": 7,
		"a.list[2]": 7, "a.list[2][0]": 7, "a.list[2][1]": 8, "a.list[3].k": 8, "a.list[3].l.m": 8, "a.long": 9,
		"fake": 0, "a.raw": 12, "a.after": 14, `a."*"`: 25, `a."*".d`: 15, `a."*".d.e`: 16, "rules[0]": 17,
		"rules[0].t": 18, "rules[0].sub": 19, "rules[0].sub.u": 20, "rules[1]": 21, "rules[1].t": 22,
		"rules[1].deep[0].v": 24, `a."*"."tab\tkey".x`: 26,
	} {
		if got := config.LineOf(text, key); got != want {
			t.Errorf("%s is on line %d, want %d", key, got, want)
		}
	}
	checkIndex(t, text)
}

// checkIndex compares the index with the TOML library: each key that the
// library finds must be in the index, on a line of the text.
func checkIndex(t *testing.T, text string) {
	t.Helper()
	var root map[string]any
	if _, err := toml.Decode(text, &root); err != nil {
		return
	}
	last := strings.Count(text, "\n") + 1
	var walk func(value any, steps ...any)
	walk = func(value any, steps ...any) {
		if len(steps) > 0 {
			key := config.KeyIn(steps...)
			if line := config.LineOf(text, key); line < 1 || line > last {
				t.Errorf("%s is on line %d of\n%s", key, line, text)
			}
		}
		steps = slices.Clip(steps)
		switch v := value.(type) {
		case map[string]any:
			for k, item := range v {
				walk(item, append(steps, k)...)
			}
		case []map[string]any:
			for i, item := range v {
				walk(item, append(steps, i)...)
			}
		case []any:
			for i, item := range v {
				walk(item, append(steps, i)...)
			}
		}
	}
	walk(root)
}
