package integration

import "testing"

// certificate writes a certificate for localhost and its key to dir.
func certificate(t testing.TB, dir string) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile, err := Certificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}
