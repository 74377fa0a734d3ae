package soundness

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// sqlsmith makes about n statements with the program of that name.
func (w *world) sqlsmith(t *testing.T, n int, seed uint64) []statement {
	t.Helper()
	program, err := exec.LookPath("sqlsmith")
	if errors.Is(err, exec.ErrNotFound) {
		t.Log("no sqlsmith here (scripts/setup.sh sqlsmith installs it): none of its statements are judged")
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []statement
	for i, part := range []struct {
		n              int
		database, name string
		args           []string
	}{
		{n - n/4 - n/8, "app", "sqlsmith", []string{"--exclude-catalog"}},
		{n / 4, "postgres", "sqlsmith, hazards", []string{"--exclude-catalog"}},
		{n / 8, "app", "sqlsmith, catalogs", nil},
	} {
		target := fmt.Sprintf("--target=host=127.0.0.1 port=%d user=postgres dbname=%s", w.cluster.Primary.Port, part.database)
		args := append([]string{target, "--dry-run", fmt.Sprintf("--seed=%d", seed+uint64(i)), fmt.Sprintf("--max-queries=%d", part.n)}, part.args...)
		out, err := exec.CommandContext(t.Context(), program, args...).Output()
		if err != nil {
			t.Fatalf("sqlsmith: %v", err)
		}
		for text := range strings.SplitSeq(string(out), ";\n") {
			if text = strings.TrimSpace(text); text != "" {
				all = append(all, statement{text: text, database: part.database, source: part.name})
			}
		}
	}
	return all
}
