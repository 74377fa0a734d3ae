package pool

import (
	"errors"
	"fmt"
	"time"
)

// Reasons for which a connection is closed. They are told to SHOW and the log.
var (
	ErrNotLinked   = errors.New("bug: connection is not linked to this sink")
	ErrReconnect   = errors.New("closed by RECONNECT, RELOAD or KILL")
	ErrIdle        = errors.New("idle longer than pool.idle_timeout")
	ErrLifetime    = errors.New("older than pool.lifetime")
	ErrShrunk      = errors.New("more connections than pool.size allows")
	ErrPaused      = errors.New("pool paused")
	ErrClosed      = errors.New("pool closed")
	ErrEvicted     = errors.New("closed to make room under max_db_connections or max_user_connections")
	ErrWaitStopped = errors.New("wait for a server connection stopped")
)

// WaitTimeoutError says that a session waited longer than query_wait_timeout.
type WaitTimeoutError struct {
	Waited  time.Duration
	Waiters int // sessions still waiting behind it
	Size    int // pool.size
}

func (e *WaitTimeoutError) Error() string {
	return fmt.Sprintf("waited %s for a server connection (pool size %d, %d waiting)", e.Waited, e.Size, e.Waiters)
}

// ConnectError says that the pool has no server connection and cannot get one
// at the moment.
type ConnectError struct {
	Database string
	Attempts int
	RetryIn  time.Duration
	Err      error // of the last attempt
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("connect for database %q (attempt %d, next in %s): %v", e.Database, e.Attempts, e.RetryIn, e.Err)
}

func (e *ConnectError) Unwrap() error { return e.Err }
