package proxy

import "time"

// mayPark says whether a session has been idle for long enough to be parked.
func (s *session) mayPark(now time.Duration) bool {
	if s.parked.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseIdle && now-s.since > parkAfter && now-s.awake > parkAfter
}

// park ends session.run until the client has something to say. It reports
// whether it did; the session is somebody else's then.
func (s *session) park() bool {
	s.mu.Lock()
	idle := s.phase == phaseIdle && s.ending == nil
	s.mu.Unlock()
	if !idle {
		return false
	}
	s.parked.Store(true)
	if err := s.srv.parker.watch(s); err != nil {
		return !s.parked.CompareAndSwap(true, false)
	}
	if s.client.Killed() {
		s.unpark()
	}
	return true
}

// unpark starts session.run again if it is parked. Any goroutine may call it.
func (s *session) unpark() {
	if s.parked.CompareAndSwap(true, false) {
		s.srv.parker.unwatch(s)
		s.mu.Lock()
		s.awake = s.srv.clock()
		s.mu.Unlock()
		go s.run()
	}
}

// kill ends the client's connection; session.run cleans up behind it. It takes
// mu.
func (s *session) kill() {
	s.client.Kill()
	s.mu.Lock()
	s.rested()
	s.mu.Unlock()
	s.unpark()
}
