package proxy

import (
	"errors"
	"syscall"
	"time"
)

// A client that has been idle for a while is parked: its goroutine ends, and
// an epoll instance of our own watches its socket. The next byte, or the end
// of the connection, starts session.run again. A parked client costs its
// structs and no stack (docs/decisions/0012).
const parkAfter = time.Second

// parker watches the sockets of parked sessions.
type parker struct {
	epoll int // -1: nobody is ever parked
}

func newParker() *parker {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		fd = -1
	}
	return &parker{epoll: fd}
}

// watch has the session's socket watched for one event, told with its id: a
// descriptor's number would not survive a close. The socket's own close ends
// the watch.
func (p *parker) watch(s *session) error {
	if p.epoll < 0 {
		return errors.ErrUnsupported
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(s.id)}
	return s.client.Control(func(fd uintptr) error {
		err := syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_ADD, int(fd), &event)
		if errors.Is(err, syscall.EEXIST) {
			err = syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_MOD, int(fd), &event)
		}
		return err
	})
}

// unwatch ends the watch.
func (p *parker) unwatch(s *session) {
	_ = s.client.Control(func(fd uintptr) error {
		return syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_DEL, int(fd), nil)
	})
}

// unpark wakes the sessions whose sockets have something to tell, until the
// server is closed.
func (s *Server) unpark() {
	if s.parker.epoll < 0 {
		return
	}
	defer func() { _ = syscall.Close(s.parker.epoll) }()
	events := make([]syscall.EpollEvent, 128)
	const lookUp = 500 // milliseconds: how soon the end is noticed
	for {
		select {
		case <-s.done:
			return
		default:
		}
		n, err := syscall.EpollWait(s.parker.epoll, events, lookUp)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			s.log.Error("epoll_wait", "error", err)
			return
		}
		for _, e := range events[:max(n, 0)] {
			s.mu.Lock()
			ss := s.sessions[int64(e.Fd)]
			s.mu.Unlock()
			if ss != nil {
				ss.unpark()
			}
		}
	}
}
