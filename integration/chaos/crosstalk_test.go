package chaos

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// TestCrossTalk has 64 clients on 4 server connections do everything that is
// legal and much that is not, while server connections are killed. A model of
// PostgreSQL predicts every answer: nothing foreign, missing, extra or hung.
func TestCrossTalk(t *testing.T) {
	t.Run("without kills", func(t *testing.T) { crossTalk(t, "a", 500_000, 0, false) })
	t.Run("with kills", func(t *testing.T) { crossTalk(t, "b", 200_000, 100*time.Millisecond, false) })
	t.Run("routed", func(t *testing.T) { crossTalk(t, "c", 200_000, 0, true) })
	t.Run("routed, with kills", func(t *testing.T) { crossTalk(t, "d", 100_000, 100*time.Millisecond, true) })
}

func crossTalk(t *testing.T, name string, messages int64, killEvery time.Duration, routed bool) {
	pg := postgres(t)
	replica := ""
	if routed {
		replica = shared.cluster.Replicas[0].Addr()
	}
	p := startPenstock(t, options{
		primary: pg.Addr(), replica: replica, size: 4,
		pool: "prepared_statements = 8\nquery_wait_timeout = \"30s\"",
	})
	if testing.Short() {
		messages /= 20
	}
	s := &stage{addr: p.addr, name: name, seed: seedOf(t, 20241122), target: messages * int64(soak(t, time.Minute)), parameter: true}
	began := time.Now()
	runStage(t, s, 64, func(ctx context.Context) error {
		for killEvery > 0 && !s.over() && ctx.Err() == nil {
			time.Sleep(killEvery)
			rows, err := pg.Query(ctx, "postgres", `select pg_terminate_backend(pid) from pg_stat_activity
				where backend_type = 'client backend' and pid <> pg_backend_pid() order by random() limit 1`)
			if err != nil {
				return err
			}
			for range rows {
				s.kills.Add(1)
			}
		}
		return nil
	})
	took := time.Since(began)
	if routed {
		t.Log(p.server.Routes())
	}
	t.Logf("%d messages in %s, %d lives, %d aborts, %d cancel requests (%d canceled), %d kills (%d noticed)",
		s.messages.Load(), took.Round(time.Millisecond), s.lives.Load(), s.aborts.Load(), s.cancels.Load(), s.canceled.Load(),
		s.kills.Load(), s.lost.Load())
	if t.Failed() {
		return
	}
	if s.messages.Load() < s.target || s.aborts.Load() == 0 || s.canceled.Load() == 0 {
		t.Error("the test has not done what it should")
	}
	if s.lost.Load() > s.kills.Load() {
		t.Errorf("%d clients lost a server connection, but only %d were killed", s.lost.Load(), s.kills.Load())
	}
	p.waitQuiet(t)
}

// runStage lets the players play, and something else beside them. The first
// error ends it all.
func runStage(t *testing.T, s *stage, players int, beside func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	failed := sync.OnceFunc(func() { t.Logf("all goroutines:\n%s", stacks()) })
	var playing sync.WaitGroup
	report := func(err error) {
		if err == nil || errors.Is(err, context.Canceled) {
			return
		}
		stop(err)
		t.Error(err)
		if isTimeout(err) {
			failed()
		}
	}
	for id := range players {
		playing.Go(func() { report(newPlayer(s, id).play(ctx)) })
	}
	playing.Go(func() { report(beside(ctx)) })
	playing.Wait()
}

// TestModelIsPostgreSQL plays the same steps without Penstock: what the model
// predicts is what PostgreSQL does.
func TestModelIsPostgreSQL(t *testing.T) {
	pg := postgres(t)
	s := &stage{addr: pg.Addr(), name: "m", seed: seedOf(t, 7), target: 60_000, parameter: true}
	if testing.Short() {
		s.target = 15_000
	}
	runStage(t, s, 16, func(context.Context) error { return nil })
	t.Logf("%d messages", s.messages.Load())
}
