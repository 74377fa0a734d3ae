package pgtest

import (
	"context"
	"net"
	"sync"
	"time"
)

// Direction is a way through a Faulty.
type Direction int

const (
	// ToServer is what the pooler says.
	ToServer Direction = iota
	// ToClient is what PostgreSQL says.
	ToClient
)

// Action is what a fault does when it strikes.
type Action int

const (
	// Cut ends both sides; what has passed still arrives.
	Cut Action = iota
	// Reset closes both sides so that they see "connection reset", perhaps before
	// they have read what has passed.
	Reset
	// Stall forwards nothing more in this direction; all stays open.
	Stall
	// Delay waits for Fault.Delay once, then goes on.
	Delay
)

// Fault strikes when exactly as much has passed in one direction of a
// connection as it says: AtFrame messages, or else AtByte bytes. Zero is before
// anything. What the client asks before its startup message counts as a message,
// and so does the one byte that answers it; once TLS is on only bytes count.
type Fault struct {
	Direction Direction
	AtFrame   int
	AtByte    int64 // used if AtFrame is 0
	Action    Action
	Delay     time.Duration
	Once      bool // on the first connection that comes to its point, and no other
}

// Traffic is what passed through one connection of a Faulty.
type Traffic struct {
	Frames [2]int   // by Direction
	Bytes  [2]int64 // by Direction
}

// Faulty is a TCP proxy in front of a real server. It changes nothing but what
// its fault says: run a conversation once without a fault, take the numbers
// from Traffic, and run it again with a fault at each boundary.
type Faulty struct {
	// Immutable after NewFaulty.
	listener net.Listener
	target   string
	cancel   context.CancelFunc
	done     chan struct{} // closed when no goroutine is left

	// Guarded by mu, which is not held during I/O.
	mu      sync.Mutex
	fault   *Fault // for connections that come
	conns   []*faultyConn
	strikes int
}

// NewFaulty listens on loopback and forwards to target, a host:port, until Close
// or the end of ctx.
func NewFaulty(ctx context.Context, target string) (*Faulty, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &Faulty{listener: l, target: target, cancel: cancel, done: make(chan struct{})}
	go f.accept(ctx)
	return f, nil
}

// Addr returns the host and port it listens on.
func (f *Faulty) Addr() string { return f.listener.Addr().String() }

// SetFault gives a fault to all connections that come from now on; nil none.
func (f *Faulty) SetFault(fault *Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// Strikes returns how often a fault has struck.
func (f *Faulty) Strikes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.strikes
}

// Traffic returns the numbers of all connections so far, in their order.
func (f *Faulty) Traffic() []Traffic {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Traffic, len(f.conns))
	for n, c := range f.conns {
		all[n] = c.traffic()
	}
	return all
}

// CutAll closes all connections that are open.
func (f *Faulty) CutAll() {
	f.mu.Lock()
	conns := f.conns
	f.mu.Unlock()
	for _, c := range conns {
		c.end(Cut)
	}
}

// Close ends everything and waits until it has.
func (f *Faulty) Close() {
	f.cancel()
	<-f.done
}

func (f *Faulty) accept(ctx context.Context) {
	defer close(f.done)
	stop := context.AfterFunc(ctx, func() { f.listener.Close() })
	defer stop()
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return // the context ended
		}
		serving.Go(func() { f.serve(ctx, client) })
	}
}

// serve connects to the target and forwards until both directions have ended.
func (f *Faulty) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	var d net.Dialer
	server, err := d.DialContext(ctx, "tcp", f.target)
	if err != nil {
		return // the client sees what it would see of the target: no service
	}
	c := newFaultyConn(client, server)
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	defer c.close()

	f.mu.Lock()
	f.conns = append(f.conns, c)
	if f.fault != nil {
		fault := *f.fault
		c.fault = &fault
		c.struck = func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			if fault.Once && f.strikes > 0 {
				return false
			}
			f.strikes++
			return true
		}
	}
	f.mu.Unlock()

	var pumps sync.WaitGroup
	pumps.Go(func() { c.pump(ToServer, client, server) })
	pumps.Go(func() { c.pump(ToClient, server, client) })
	pumps.Wait()
}
