package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

var (
	errNotRegular  = errors.New("is not a regular file")
	errTooLarge    = errors.New("is too large")
	errNoPassword  = errors.New("holds no password")
	errPasswordEnd = errors.New("must hold the password on one line and nothing else")
)

// resolve makes name relative to dir.
func resolve(dir, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// readFile returns the content of a regular file of at most limit bytes. Its
// errors do not hold the name, which may come from the environment.
func readFile(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if int64(len(data)) > limit {
		return nil, errTooLarge
	}
	return data, nil
}

// readable tells why name cannot be read.
func readable(name string) error {
	_, err := readFile(name, 0)
	if errors.Is(err, errTooLarge) {
		return nil
	}
	return err
}

// isDir tells why name is no folder.
func isDir(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return withoutPath(err)
	}
	if !info.IsDir() {
		return errors.New("is not a folder")
	}
	return nil
}

// readPassword returns the only line of a file.
func readPassword(name string) (string, error) {
	data, err := readFile(name, 4096)
	if err != nil {
		return "", err
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if password == "" {
		return "", errNoPassword
	}
	if strings.ContainsAny(password, "\x00\r\n") {
		return "", errPasswordEnd
	}
	return password, nil
}

func withoutPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
