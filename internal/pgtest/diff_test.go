package pgtest

import "testing"

func TestDiff(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, want, got, diff string }{
		{"equal", "a\nb", "a\nb", ""},
		{"changed line", "a\nb\nc", "a\nx\nc", "  a\n- b\n+ x\n  c"},
		{"missing line", "a\nb", "a", "  a\n- b"},
		{"added line", "a", "a\nb", "  a\n+ b"},
		{"far lines are left out", "1\n2\n3\n4\n5\n6\n7\n8\n9", "1\n2\n3\n4\nx\n6\n7\n8\n9", "  2\n  3\n  4\n- 5\n+ x\n  6\n  7\n  8\n..."},
	}
	for _, test := range tests {
		if d := diff(test.want, test.got); d != test.diff {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, d, test.diff)
		}
	}
}
