package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// untilTimeout is how long the answers of one until block may take.
const untilTimeout = 5 * time.Second

// Run plays a transcript against target and returns its text with the answers
// that came: equal to Recorded if nothing differs. At the end nothing may be
// left to read on a connection whose last answer was ReadyForQuery.
func Run(ctx context.Context, target Target, t Transcript) ([]byte, error) {
	r := &run{target: target, params: map[string]map[string]string{}, clients: map[string]*runClient{}, current: "main"}
	defer r.close()
	for _, it := range t.items {
		if err := r.play(ctx, it); err != nil {
			return t.render(r.answers), fmt.Errorf("%s:%d: [conn %s] %w", t.Name, it.line, r.current, err)
		}
	}
	if err := r.checkSilence(); err != nil {
		return t.render(r.answers), fmt.Errorf("%s: %w", t.Name, err)
	}
	return t.render(r.answers), nil
}

// run is one play of a transcript.
type run struct {
	target  Target
	params  map[string]map[string]string // startup lines, by connection
	clients map[string]*runClient
	current string
	answers [][]string // of each until block played so far
}

type runClient struct {
	*Client
	idle bool // the last message was ReadyForQuery and nothing was sent since
}

func (r *run) play(ctx context.Context, it item) error {
	switch it.kind {
	case itemText:
		return nil
	case itemConn:
		r.current = it.conn
		return nil
	case itemStartup:
		if r.clients[r.current] != nil {
			return errors.New("startup after the connection was opened")
		}
		r.params[r.current] = it.params
		return nil
	default:
	}
	c, err := r.client(ctx)
	if err != nil {
		return err
	}
	if it.kind == itemSend {
		c.idle = false
		if err := c.SendRaw(it.data); !isClosed(err) {
			return err
		}
		return nil // until tells; what the server said last is still to be read
	}
	answers, err := c.playUntil(it)
	r.answers = append(r.answers, answers)
	return err
}

// client returns the current connection, which it opens on first use.
func (r *run) client(ctx context.Context) (*runClient, error) {
	if c := r.clients[r.current]; c != nil {
		return c, nil
	}
	target := r.target
	target.Params = maps.Clone(target.Params)
	if target.Params == nil {
		target.Params = map[string]string{}
	}
	maps.Copy(target.Params, r.params[r.current])
	ctx, cancel := context.WithTimeout(ctx, untilTimeout)
	defer cancel()
	client, err := target.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &runClient{Client: client}
	r.clients[r.current] = c
	return c, nil
}

// playUntil reads up to the messages that the block names, in their order.
func (c *runClient) playUntil(it item) ([]string, error) {
	deadline := time.Now().Add(untilTimeout)
	var answers []string
	for _, want := range it.until {
		for {
			name, line, err := c.next(deadline)
			if err != nil {
				return answers, fmt.Errorf("wait for %s: %w; so far came:\n%s", want, err, strings.Join(answers, "\n"))
			}
			if !slices.Contains(it.ignore, name) {
				answers = append(answers, line)
			}
			if name == want {
				break
			}
			if name == closedType {
				return answers, fmt.Errorf("wait for %s: the connection was closed; so far came:\n%s", want, strings.Join(answers, "\n"))
			}
		}
	}
	return answers, nil
}

// next returns the type of the next message and its line.
func (c *runClient) next(deadline time.Time) (name, line string, err error) {
	msg, err := c.receiveBy(deadline)
	if isClosed(err) {
		return closedType, `{"Type":"` + closedType + `"}`, nil
	}
	if err != nil {
		return "", "", err
	}
	_, c.idle = msg.(*pgproto3.ReadyForQuery)
	line, err = answerLine(msg)
	return typeName(msg), line, err
}

// isClosed says whether err is the other side's end of the connection.
func isClosed(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// checkSilence asks each idle connection for one more ReadyForQuery; anything
// before it was too much. Notices and the like may come at any time.
func (r *run) checkSilence() error {
	for _, name := range slices.Sorted(maps.Keys(r.clients)) {
		c := r.clients[name]
		if !c.idle {
			continue
		}
		if err := c.Send(&pgproto3.Sync{}); err != nil {
			return fmt.Errorf("[conn %s] after the end: %w", name, err)
		}
		deadline := time.Now().Add(untilTimeout)
		for got := ""; got != "ReadyForQuery"; {
			var line string
			var err error
			got, line, err = c.next(deadline)
			if err != nil {
				return fmt.Errorf("[conn %s] Sync after the end: %w", name, err)
			}
			if !slices.Contains([]string{"ReadyForQuery", "NoticeResponse", "ParameterStatus", "NotificationResponse"}, got) {
				return fmt.Errorf("[conn %s] unread after the end: %s", name, line)
			}
		}
	}
	return nil
}

func (r *run) close() {
	for _, c := range r.clients {
		_ = c.Close() // the server may have closed it
	}
}
