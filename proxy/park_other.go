//go:build !linux

package proxy

import (
	"errors"
	"time"
)

const parkAfter = time.Second

// parker parks nobody where there is no epoll.
type parker struct{}

func newParker() *parker { return &parker{} }

func (*parker) watch(*session) error { return errors.ErrUnsupported }

func (*parker) unwatch(*session) {}

func (*Server) unpark() {}
