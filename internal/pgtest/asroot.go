package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// owner is the operating system user that runs the servers and owns their
// files. PostgreSQL refuses to run as root, so for root it is another user; for
// everybody else it is the user himself and all methods do nothing.
type owner struct {
	name string
	cred *syscall.Credential // nil: the user of this process
}

// findOwner chooses the user: for root postgres, or nobody where no PostgreSQL
// package has made that user.
func findOwner() (owner, error) {
	if os.Getuid() != 0 {
		return owner{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return owner{}, fmt.Errorf("uid of %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return owner{}, fmt.Errorf("gid of %s: %w", name, err)
		}
		return owner{name: name, cred: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return owner{}, errors.New("root cannot run PostgreSQL, and there is no user postgres or nobody")
}

// chown gives path to the owner.
func (o owner) chown(path string) error {
	if o.cred == nil {
		return nil
	}
	return os.Lchown(path, int(o.cred.Uid), int(o.cred.Gid))
}

// mkdir makes a folder of the owner's.
func (o owner) mkdir(path string, mode os.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return o.chown(path)
}

// writeFile makes a file of the owner's.
func (o owner) writeFile(path string, data []byte, mode os.FileMode) error {
	if err := os.WriteFile(path, data, mode); err != nil {
		return err
	}
	return o.chown(path)
}

// owns reports whether the owner, or for a normal user this process, made path.
func (o owner) owns(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	uid := os.Getuid()
	if o.cred != nil {
		uid = int(o.cred.Uid)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == uid
}

// letIn lets the owner pass through the folders above dir, as far as they lie in
// the temporary folder: those that testing.T.TempDir makes are closed.
func (o owner) letIn(dir string) error {
	tmp := filepath.Clean(os.TempDir()) + string(filepath.Separator)
	for d := filepath.Dir(dir); o.cred != nil && strings.HasPrefix(d, tmp); d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return err
		}
		if o.mayEnter(info) {
			continue
		}
		if err := os.Chmod(d, info.Mode().Perm()|0o011); err != nil {
			return err
		}
	}
	return nil
}

// canEnter reports as an error the first folder on the way to dir that the
// owner may not enter: otherwise the server's own message names only the end of
// the way.
func (o owner) canEnter(dir string) error {
	if o.cred == nil {
		return nil
	}
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return err
		}
		if !o.mayEnter(info) {
			return fmt.Errorf("user %s, who must run PostgreSQL because root cannot, may not enter %s (mode %v)", o.name, d, info.Mode())
		}
		if d == filepath.Dir(d) {
			return nil
		}
	}
}

func (o owner) mayEnter(folder os.FileInfo) bool {
	st, ok := folder.Sys().(*syscall.Stat_t)
	return folder.Mode()&0o001 != 0 || ok && st.Uid == o.cred.Uid && folder.Mode()&0o100 != 0
}
