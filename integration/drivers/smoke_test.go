package drivers

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/integration"
)

// same runs a program on PostgreSQL and then on each mode, with noise: it must
// print the same.
func same(t *testing.T, program func(ctx context.Context, host, port, database string) *exec.Cmd) {
	h := house(t)
	p, err := integration.Open(h.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	play := func(t *testing.T, port, database string) string {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		defer stop()
		out, err := program(ctx, "127.0.0.1", port, database).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	want := play(t, fmt.Sprint(h.Cluster.Primary.Port), "postgres")
	for _, database := range []string{"tx", "sess"} {
		t.Run(database, func(t *testing.T) {
			noise := integration.StartNoise(context.WithoutCancel(t.Context()), p.DSN(database), 4)
			got := play(t, p.Port(), database)
			if rounds, err := noise.Stop(); err != nil || rounds == 0 {
				t.Errorf("the other clients found, in %d rounds: %v", rounds, err)
			}
			if got != want {
				t.Errorf("printed other lines than directly:\n%s", changes(want, got))
			}
		})
	}
}

// changes shows the first lines that differ.
func changes(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for i := range max(len(w), len(g)) {
		var a, c string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			c = g[i]
		}
		if a != c {
			fmt.Fprintf(&b, "%d: - %s\n%d: + %s\n", i+1, a, i+1, c)
		}
		if b.Len() > 2000 {
			break
		}
	}
	return b.String()
}

// psycopg2, from the Debian package python3-psycopg2.
func TestPsycopg2(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", "import psycopg2").CombinedOutput(); err != nil {
		t.Fatalf("make setup installs python3-psycopg2: %v %s", err, out)
	}
	same(t, func(ctx context.Context, host, port, database string) *exec.Cmd {
		return exec.CommandContext(ctx, "/usr/bin/python3", "testdata/smoke.py",
			fmt.Sprintf("host=%s port=%s user=postgres dbname=%s", host, port, database))
	})
}

// JDBC, from the Debian package libpostgresql-jdbc-java.
func TestJDBC(t *testing.T) {
	const jar = "/usr/share/java/postgresql.jar"
	classes := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "javac", "-cp", jar, "-d", classes, "testdata/Smoke.java").CombinedOutput(); err != nil {
		t.Fatalf("make setup installs libpostgresql-jdbc-java and a JDK: %v %s", err, out)
	}
	same(t, func(ctx context.Context, host, port, database string) *exec.Cmd {
		return exec.CommandContext(ctx, "java", "-cp", jar+":"+classes, "Smoke",
			fmt.Sprintf("jdbc:postgresql://%s:%s/%s?user=postgres", host, port, database))
	})
}
