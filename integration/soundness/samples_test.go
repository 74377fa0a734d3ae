package soundness

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// writeSamples writes all violations and samples of what was kept for nothing.
func (r *report) writeSamples(t *testing.T, path string) {
	t.Helper()
	var out strings.Builder
	for _, v := range r.violations {
		fmt.Fprintf(&out, "VIOLATION %s\n----\n", v)
	}
	for reason, texts := range r.samples {
		for _, text := range texts {
			fmt.Fprintf(&out, "KEPT %v %s\n----\n", reason, text)
		}
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func percent(n, of int) float64 {
	if of == 0 {
		return 100
	}
	return 100 * float64(n) / float64(of)
}
