package proxy

import (
	"testing"
	"time"
)

// The queue of one session is damaged, so that the next look at it panics: in
// the client's goroutine, or in the server connection's. That session ends;
// others, the janitor and the console do not notice.
func TestAPanicInTheMiddleOfASessionEndsOnlyThatSession(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(s *session){
		"in the client's goroutine": func(s *session) {
			s.link.replies.push(reply{kind: replySync, action: insert})
		},
		"in the server connection's goroutine": func(s *session) {
			s.link.replies.push(reply{kind: replyQuery})
			s.link.replies.push(reply{kind: replySync, action: insert})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.quiet = true
			client, s, over := w.run(modeTransaction)
			other, _, otherOver := w.run(modeTransaction)
			for _, c := range []*caller{{t: t, conn: client, buf: make([]byte, 4096)}, {t: t, conn: other, buf: make([]byte, 4096)}} {
				_ = c.conn.SetDeadline(time.Now().Add(10 * time.Second))
				c.call(frames("Q(BEGIN)", true), 1)
			}
			s.mu.Lock()
			damage(s)
			s.mu.Unlock()
			_, _ = client.Write(frames("Q(select 1) Q(select 1)", true))
			select {
			case <-over:
			case <-time.After(5 * time.Second):
				t.Fatal("the session hangs")
			}
			if w.panics.Load() == nil {
				t.Error("the panic was not logged")
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				w.srv.sweep(time.Now())
				_ = tables{w.srv}.clientRows(false)
			}()
			select {
			case <-done:
			case <-time.After(5 * time.Second):
				t.Fatal("the janitor or the console hangs")
			}
			c := &caller{t: t, conn: other, buf: make([]byte, 4096)}
			if got := text(c.call(frames("Q(COMMIT)", true), 1), false); got != "C(COMMIT) Z(I)" {
				t.Errorf("the other session got %s", got)
			}
			_ = client.Close()
			_ = other.Close()
			<-otherOver
		})
	}
}
