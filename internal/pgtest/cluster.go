package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Options describe a cluster. The zero value is a single server that trusts
// everybody on loopback.
type Options struct {
	// BinDir is the folder of postgres and initdb, any version from 13 to 18.
	// Empty: FindBinDir.
	BinDir string
	// Dir holds everything the cluster writes; it is made if need be and kept by
	// Stop. Empty: a new temporary folder, which Stop removes.
	Dir string
	// Replicas is the number of streaming replicas.
	Replicas int
	// Auth is the method for TCP connections: trust (also if empty), md5,
	// scram-sha-256 or any other word of pg_hba.conf. Connections through the
	// unix socket are always trusted.
	Auth string
	// Settings are added to postgresql.conf, unquoted: {"work_mem": "8MB"}.
	Settings map[string]string
	// SuperuserPassword is the password of the user postgres. Empty: none for
	// trust, else "postgres".
	SuperuserPassword string
	// TLS turns ssl on with a certificate made for 127.0.0.1 and localhost.
	TLS bool
	// Log is told the steps of the start. Nil: nobody.
	Log io.Writer
}

// Cluster is a primary and its replicas. Its fields and methods are for one
// goroutine at a time, except Stop, which any goroutine may call at any time.
type Cluster struct {
	// Primary takes the writes and Replicas follow it; Promote, AddReplica,
	// Rejoin, Rebuild and Demote change them.
	Primary  *Instance
	Replicas []*Instance

	// Immutable after Start.
	Dir       string // all folders and logs are below
	SocketDir string // of the unix sockets of all instances
	CertFile  string // with Options.TLS: the server's certificate, its own CA
	Version   int    // PostgreSQL's major version
	opts      Options
	owner     owner
	template  template
	remove    []string // folders that Stop removes

	// Guarded by mu, which is not held during I/O.
	mu      sync.Mutex
	all     []*Instance // each one that was ever made
	stopped bool
	unwatch func() bool // forgets the context given to Start

	stopOnce sync.Once
	stopErr  error // valid after stopOnce
}

// Start makes and starts a cluster and waits until the primary takes
// connections and each replica streams. The cluster is stopped when ctx ends;
// so give it a context that lives as long as the cluster.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c, err := prepare(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("prepare PostgreSQL cluster: %w", err)
	}
	c.mu.Lock()
	c.unwatch = context.AfterFunc(ctx, func() { _ = c.Stop() })
	c.mu.Unlock()
	if err := c.startAll(ctx); err != nil {
		// A copy may have gone on while the context's Stop removed the folders.
		return nil, errors.Join(fmt.Errorf("start PostgreSQL cluster: %w", err), c.Stop(), c.removeFolders())
	}
	return c, nil
}

// prepare finds the programs and makes the folders; it starts nothing.
func prepare(ctx context.Context, o Options) (*Cluster, error) {
	if o.BinDir == "" {
		dir, err := FindBinDir()
		if err != nil {
			return nil, err
		}
		o.BinDir = dir
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Auth == "" {
		o.Auth = "trust"
	}
	if o.SuperuserPassword == "" && o.Auth != "trust" {
		o.SuperuserPassword = "postgres"
	}
	own, err := findOwner()
	if err != nil {
		return nil, err
	}
	if err := own.canEnter(o.BinDir); err != nil {
		return nil, err
	}
	v, err := readVersion(ctx, o.BinDir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Version: v.major, opts: o, owner: own, template: newTemplate(o.BinDir, v, own)}
	if err := c.makeFolders(); err != nil {
		return nil, errors.Join(err, c.removeFolders())
	}
	return c, nil
}

func (c *Cluster) makeFolders() error {
	c.Dir = c.opts.Dir
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "pgt")
		if err != nil {
			return err
		}
		c.Dir = dir
		c.remove = append(c.remove, dir)
	}
	abs, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	c.Dir = abs
	if err := c.owner.mkdir(c.Dir, 0o711); err != nil {
		return err
	}
	if err := errors.Join(c.owner.letIn(c.Dir), c.owner.canEnter(c.Dir)); err != nil {
		return err
	}
	c.SocketDir = filepath.Join(c.Dir, "s")
	if len(c.SocketDir)+len("/.s.PGSQL.12345.lock") > 100 { // a socket's address has 107 bytes
		dir, err := os.MkdirTemp("/tmp", "pgs")
		if err != nil {
			return err
		}
		c.SocketDir = dir
		c.remove = append(c.remove, dir)
	}
	if err := c.owner.mkdir(c.SocketDir, 0o755); err != nil {
		return err
	}
	if c.opts.TLS {
		return c.makeCertificate()
	}
	return nil
}

func (c *Cluster) removeFolders() error {
	var errs []error
	for _, dir := range c.remove {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

func (c *Cluster) startAll(ctx context.Context) error {
	if err := c.startPrimary(ctx); err != nil {
		return err
	}
	for range c.opts.Replicas {
		if _, err := c.AddReplica(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startPrimary(ctx context.Context) error {
	c.logf("copying the template %s", c.template.dir)
	primary, err := c.newInstance("primary", nil)
	if err != nil {
		return err
	}
	if err := c.template.copyTo(ctx, primary.DataDir); err != nil {
		return err
	}
	if err := primary.startFirst(ctx); err != nil {
		return err
	}
	c.Primary = primary
	if c.opts.SuperuserPassword == "" {
		return nil
	}
	return primary.Exec(ctx, "postgres", "ALTER ROLE postgres PASSWORD "+quoteLiteral(c.opts.SuperuserPassword))
}

// newInstance registers an instance; nothing of it is on disk yet.
func (c *Cluster) newInstance(name string, upstream *Instance) (*Instance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, errStopped
	}
	i := &Instance{
		Name: name, SocketDir: c.SocketDir, DataDir: filepath.Join(c.Dir, name), LogFile: filepath.Join(c.Dir, name+".log"),
		cluster: c, upstream: upstream,
	}
	c.all = append(c.all, i)
	return i, nil
}

// Stop stops all instances at once, and removes the folder unless the caller
// chose it. Later calls return the result of the first.
func (c *Cluster) Stop() error {
	c.stopOnce.Do(func() {
		c.mu.Lock()
		c.stopped = true
		all := c.all
		c.unwatch()
		c.mu.Unlock()

		// A folder that stays should be a clean one.
		mode := Immediate
		if c.opts.Dir != "" {
			mode = Fast
		}
		errs := make([]error, len(all))
		var wg sync.WaitGroup
		for n, i := range all {
			wg.Go(func() { errs[n] = i.close(mode) })
		}
		wg.Wait()
		c.stopErr = errors.Join(append(errs, c.removeFolders())...)
	})
	return c.stopErr
}

// instances returns each instance that was ever made.
func (c *Cluster) instances() []*Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

func (c *Cluster) logf(format string, args ...any) {
	fmt.Fprintf(c.opts.Log, format+"\n", args...)
}

// freePort finds a port outside of the range from which the kernel serves
// outgoing connections, so that nobody takes it while the instance is down.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port between 20000 and 32000")
}
