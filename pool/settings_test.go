package pool_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/penstock/penstock/pool"
)

// texts is a set of settings as the tests write it: "a=1 b=2".
func texts(s pool.Settings) string {
	var list []string
	for name, value := range s.All {
		list = append(list, name+"="+value)
	}
	return strings.Join(list, " ")
}

func TestSettingsAreOneWordWhenTheyAreEqual(t *testing.T) {
	t.Parallel()
	base := pool.NewSettings(map[string]string{"TimeZone": "UTC", "DateStyle": "ISO, MDY"})
	for name, c := range map[string]struct {
		set  pool.Settings
		same bool
	}{
		"made in another order":          {pool.Settings{}.With("DateStyle", "ISO, MDY").With("TimeZone", "UTC"), true},
		"set to what it is":              {base.With("TimeZone", "UTC"), true},
		"set to what it is, other case":  {base.With("TIMEZONE", "UTC"), true},
		"changed and changed back":       {base.With("DateStyle", "German").With("DateStyle", "ISO, MDY"), true},
		"one more and gone again":        {base.With("a.b", "x").Without("A.B"), true},
		"without one that it has not":    {base.Without("x"), true},
		"another value":                  {base.With("TimeZone", "utc"), false},
		"one more":                       {base.With("x", ""), false},
		"one less":                       {base.Without("datestyle"), false},
		"name and value are not muddled": {pool.NewSettings(map[string]string{"TimeZone": "UTC\x00", "DateStyle": "ISO, MDY"}), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if (c.set == base) != c.same {
				t.Errorf("%q == %q is %t", texts(c.set), texts(base), c.set == base)
			}
		})
	}
}

func TestSettingsKeepNameOrderAndSpelling(t *testing.T) {
	t.Parallel()
	s := pool.NewSettings(map[string]string{"TimeZone": "UTC", "application_name": "x", "DateStyle": "ISO"})
	if got, want := texts(s), "application_name=x DateStyle=ISO TimeZone=UTC"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if v, ok := s.Get("timezone"); !ok || v != "UTC" {
		t.Errorf("Get: %q, %t", v, ok)
	}
	if _, ok := s.Get("time"); ok {
		t.Error("found a setting by a part of its name")
	}
	if s.Len() != 3 || s.Empty() != (pool.Settings{}) || s.Empty().Len() != 0 {
		t.Errorf("len %d, empty %q", s.Len(), texts(s.Empty()))
	}
	for name := range s.All {
		if name != "application_name" {
			t.Fatal("All goes on after it was told to stop")
		}
		break
	}
}

func TestSettingsThatLoseTheirLastAreTheEmptySet(t *testing.T) {
	t.Parallel()
	if s := (pool.Settings{}).With("a", "1").Without("a"); s != (pool.Settings{}) {
		t.Errorf("got %q", texts(s))
	}
	if s := pool.NewSettings(nil); s != (pool.Settings{}) {
		t.Errorf("got %q", texts(s))
	}
}

func TestSettingsLookUpsAllocateNothing(t *testing.T) {
	s := pool.NewSettings(map[string]string{"TimeZone": "UTC", "DateStyle": "ISO"})
	if n := testing.AllocsPerRun(100, func() {
		_, _ = s.Get("timezone")
		_ = s.With("TimeZone", "UTC")
		_ = s.Without("x")
		for range s.All {
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSettings compares a Settings with a map under the same changes.
func FuzzSettings(f *testing.F) {
	f.Add("TimeZone=UTC;DateStyle=ISO;timezone=utc;-DateStyle") // names differ in case only
	f.Add("a=1;b=2;c=3;-b;a=1")
	f.Add("-x;=;a=")
	f.Fuzz(func(t *testing.T, script string) {
		if strings.ContainsRune(script, 0) {
			t.Skip("neither names nor values hold a NUL: the protocol ends them with it")
		}
		s, model := pool.Settings{}, map[string]string{}
		for step := range strings.SplitSeq(script, ";") {
			name, value, set := strings.Cut(step, "=")
			name = strings.Map(func(r rune) rune { // ASCII, so that folding is no question here
				if r > 0x7e {
					return 'x'
				}
				return r
			}, name)
			if set {
				s = s.With(name, value)
				model[strings.ToLower(name)] = value
			} else {
				name = strings.TrimPrefix(name, "-")
				s = s.Without(name)
				delete(model, strings.ToLower(name))
			}
		}
		got := map[string]string{}
		last := ""
		for name, value := range s.All {
			name = strings.ToLower(name)
			if name < last {
				t.Errorf("%q comes after %q", name, last)
			}
			last = name
			got[name] = value
		}
		if !maps.Equal(got, model) || s.Len() != len(model) {
			t.Fatalf("got %q, want %q", got, model)
		}
	})
}
