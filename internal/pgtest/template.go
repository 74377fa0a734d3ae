package pgtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// template is a data folder fresh from initdb that clusters copy, because
// initdb takes seconds and a copy a fraction of one. It is shared by all
// processes of a user: made aside and renamed into place, never changed.
type template struct {
	dir   string // holds data/ and files, the number of files in data/
	owner owner
	bin   string
}

func newTemplate(bin string, v serverVersion, o owner) template {
	sum := sha256.Sum256([]byte(bin))
	name := fmt.Sprintf("penstock-pgtest-%d-%s-%x", os.Getuid(), v.text, sum[:4])
	return template{dir: filepath.Join(os.TempDir(), name), owner: o, bin: bin}
}

// copyTo makes dst a copy of the template, which it makes first if need be. A
// template that lost files, for example to a cleaner of /tmp, is made anew.
func (t template) copyTo(ctx context.Context, dst string) error {
	for range 3 {
		if err := t.ensure(ctx); err != nil {
			return err
		}
		n, err := copyTree(ctx, filepath.Join(t.dir, "data"), dst, t.owner, nil)
		if err != nil {
			return fmt.Errorf("copy template %s: %w", t.dir, err)
		}
		if n == t.files() {
			return nil
		}
		if err := errors.Join(t.discard(), os.RemoveAll(dst)); err != nil {
			return err
		}
	}
	return fmt.Errorf("template %s stays incomplete", t.dir)
}

// ensure makes the template unless it is there. When several processes do so at
// once, one rename wins and the others throw theirs away.
func (t template) ensure(ctx context.Context) error {
	if _, err := os.Lstat(t.dir); err == nil {
		if !t.owner.owns(t.dir) {
			return fmt.Errorf("template %s belongs to another user", t.dir)
		}
		return nil
	}
	tmp, err := os.MkdirTemp(filepath.Dir(t.dir), "penstock-pgtest-new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := t.owner.mkdir(tmp, 0o711); err != nil {
		return err
	}
	if err := t.initdb(ctx, tmp); err != nil {
		return err
	}
	err = os.Rename(tmp, t.dir)
	if err != nil && t.owner.owns(t.dir) {
		return nil // another process was faster
	}
	return err
}

func (t template) initdb(ctx context.Context, dir string) error {
	data := filepath.Join(dir, "data")
	cmd := exec.CommandContext(ctx, filepath.Join(t.bin, "initdb"),
		"-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	cmd.Dir = dir
	cmd.Env = serverEnv(dir)
	if err := runAs(cmd, t.owner); err != nil {
		return err
	}
	n := 0
	err := filepath.WalkDir(data, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		return err
	}
	return t.owner.writeFile(filepath.Join(dir, "files"), []byte(strconv.Itoa(n)), 0o600)
}

func (t template) files() int {
	data, err := os.ReadFile(filepath.Join(t.dir, "files"))
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return -1
	}
	return n
}

// discard moves the template out of the way in one step and removes it.
func (t template) discard() error {
	tmp, err := os.MkdirTemp(filepath.Dir(t.dir), "penstock-pgtest-old-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	err = os.Rename(t.dir, filepath.Join(tmp, "t"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another process was faster
	}
	return err
}

// copyTree copies folders and regular files below src to dst, as the owner's,
// and returns the number of files. Files for which skip(path relative to src)
// holds are left out, as are those that vanish meanwhile.
func copyTree(ctx context.Context, src, dst string, o owner, skip func(rel string) bool) (int, error) {
	n := 0
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return ignoreMissing(err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		target := filepath.Join(dst, rel)
		switch {
		case d.IsDir():
			return o.mkdir(target, 0o700)
		case !d.Type().IsRegular() || skip != nil && skip(rel):
			return nil
		}
		if err := copyFile(path, target, o); err != nil {
			return ignoreMissing(err)
		}
		n++
		return nil
	})
	return n, err
}

func copyFile(src, dst string, o owner) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return o.chown(dst)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
