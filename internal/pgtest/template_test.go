package pgtest_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
)

// In one temporary folder, because initdb takes seconds: the template is made,
// used by a start that is broken off, damaged, and made anew.
func TestTemplate(t *testing.T) {
	dir := ownTempDir(t)

	// Several processes may make it at once; goroutines come close.
	t.Run("RacingStartsLeaveOne", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				c, err := pgtest.Start(context.WithoutCancel(t.Context()), options(pgtest.Options{}))
				if err != nil {
					t.Error(err)
					return
				}
				if err := c.Stop(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wantOnlyTemplate(t, dir)
	})
	t.Run("CancelledStartLeavesNothing", func(t *testing.T) {
		for _, after := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond, 120 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			c, err := pgtest.Start(ctx, options(pgtest.Options{Replicas: 3}))
			cancel()
			if err == nil {
				t.Errorf("start of %d replicas within %v", len(c.Replicas), after)
			}
		}
		wantOnlyTemplate(t, dir)
	})
	t.Run("DamageIsRepaired", func(t *testing.T) {
		files, _ := filepath.Glob(filepath.Join(dir, "penstock-pgtest-*", "data", "base", "1", "1*"))
		if len(files) == 0 {
			t.Fatal("no files to lose")
		}
		if err := os.Remove(files[0]); err != nil {
			t.Fatal(err)
		}
		pgtest.StartT(t, options(pgtest.Options{}))
		if _, err := os.Stat(files[0]); err != nil {
			t.Errorf("template still damaged: %v", err)
		}
	})
	wantOnlyTemplate(t, dir)
}

func wantOnlyTemplate(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || !strings.HasPrefix(left[0].Name(), "penstock-pgtest-") {
		t.Errorf("want one template, found %v, %v", left, err)
	}
}
