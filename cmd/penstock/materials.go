package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/config"
)

func newLogger(cfg config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level))
	o := &slog.HandlerOptions{Level: level}
	if cfg.Format == "text" {
		return slog.New(slog.NewTextHandler(os.Stderr, o))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, o))
}

// materials reads what the configuration names: users, certificates.
func materials(cfg *config.Config) (*auth.Users, *tls.Config, error) {
	users, err := readUsers(cfg.Auth)
	if err != nil {
		return nil, nil, err
	}
	t, err := readTLS(cfg.Listen)
	return users, t, err
}

func readUsers(cfg config.Auth) (*auth.Users, error) {
	if cfg.UsersFile == "" && len(cfg.Users) == 0 {
		if cfg.Method == "trust" {
			return nil, nil //nolint:nilnil // no list: anybody, by trust
		}
		return auth.NewUsers(nil)
	}
	inline, err := auth.NewUsers(cfg.Users)
	if err != nil || cfg.UsersFile == "" {
		return inline, err
	}
	f, err := os.Open(cfg.UsersFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	listed, err := auth.ParseUserlist(cfg.UsersFile, f)
	if err != nil {
		return nil, err
	}
	return listed.Merge(inline), nil
}

func readTLS(cfg config.Listen) (*tls.Config, error) {
	if cfg.TLS == "disable" || cfg.TLSCertFile == "" {
		return nil, nil //nolint:nilnil // clients are told that there is no TLS
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLSCertFile, cfg.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("listen.tls_cert_file: %w", err)
	}
	t := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if cfg.TLSCAFile != "" {
		pem, err := os.ReadFile(cfg.TLSCAFile)
		if err != nil {
			return nil, err
		}
		t.ClientCAs = x509.NewCertPool()
		if !t.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("listen.tls_ca_file: no certificate in %s", cfg.TLSCAFile)
		}
		t.ClientAuth = tls.VerifyClientCertIfGiven
		if cfg.TLS == "verify-ca" || cfg.TLS == "verify-full" {
			t.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	return t, nil
}

// listen opens every address, or none.
func listen(cfg config.Listen) (opened []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
		}
	}()
	tcp := net.ListenConfig{KeepAlive: -1, Control: keepAlive}
	for _, address := range cfg.Address {
		l, err := tcp.Listen(context.Background(), "tcp", address)
		if err != nil {
			return opened, fmt.Errorf("listen.address: %w", err)
		}
		opened = append(opened, l)
	}
	if cfg.UnixSocketDir == "" {
		return opened, nil
	}
	l, err := listenUnix(cfg)
	if err != nil {
		return opened, fmt.Errorf("listen.unix_socket_dir: %w", err)
	}
	return append(opened, l), nil
}

// keepAlive sets TCP keep-alive on a listening socket: the accepted ones
// inherit it on Linux, which saves four system calls for each.
func keepAlive(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		for _, o := range [][3]int{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, tcpKeepIdle, 15},
			{syscall.IPPROTO_TCP, tcpKeepInterval, 15},
			{syscall.IPPROTO_TCP, tcpKeepCount, 9},
		} {
			if err == nil {
				err = syscall.SetsockoptInt(int(fd), o[0], o[1], o[2])
			}
		}
	}); e != nil {
		return e
	}
	return err
}

// Linux, netinet/tcp.h; the frozen syscall package has them for Linux only.
const (
	tcpKeepIdle     = 4
	tcpKeepInterval = 5
	tcpKeepCount    = 6
)

func listenUnix(cfg config.Listen) (net.Listener, error) {
	port := "6432"
	if len(cfg.Address) > 0 {
		if _, p, err := net.SplitHostPort(cfg.Address[0]); err == nil {
			port = p
		}
	}
	path := filepath.Join(cfg.UnixSocketDir, ".s.PGSQL."+port)
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("%s is in use by another process", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		_ = os.Remove(path) // left behind by a process that has died
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o777)
}

// socketParts returns the folder and port of a socket path, as libpq wants them.
func socketParts(path string) (dir, port string) {
	return filepath.Dir(path), strings.TrimPrefix(filepath.Base(path), ".s.PGSQL.")
}

// raiseFileLimit makes room for the descriptors of all clients.
func raiseFileLimit(log *slog.Logger, clients int) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	if limit.Cur < uint64(clients)+100 {
		log.Warn("fewer file descriptors than listen.max_clients needs", "limit", limit.Cur, "max_clients", clients)
	}
}
