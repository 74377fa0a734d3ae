package pgtest

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// writeConfig writes postgresql.conf, pg_hba.conf and, for a replica,
// standby.signal.
func (i *Instance) writeConfig() error {
	c := i.cluster
	files := map[string]string{"postgresql.conf": i.settings(), "pg_hba.conf": hbaRules(c.opts.Auth)}
	if i.upstream != nil {
		files["standby.signal"] = ""
	}
	for name, text := range files {
		if err := c.owner.writeFile(filepath.Join(i.DataDir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("configure %s: %w", i.Name, err)
		}
	}
	return nil
}

func hbaRules(auth string) string {
	return "local all all trust\n" +
		"local replication all trust\n" +
		"host all all 127.0.0.1/32 " + auth + "\n" +
		"host replication all 127.0.0.1/32 " + auth + "\n"
}

// settings returns postgresql.conf: ours, then those of Options.Settings.
func (i *Instance) settings() string {
	c := i.cluster
	set := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(i.Port),
		"unix_socket_directories": i.SocketDir,
		"cluster_name":            i.Name,
		"log_line_prefix":         "%m [%p] %q%u@%d ",

		// Throw-away data: speed before safety. Files instead of POSIX shared
		// memory, because files go away with the folder.
		"fsync":                      "off",
		"full_page_writes":           "off",
		"shared_buffers":             "64MB",
		"dynamic_shared_memory_type": "mmap",
		"max_connections":            "300",

		// Replicas come and go without slots.
		"wal_level":       "replica",
		"max_wal_senders": "10",
		"wal_keep_size":   "256MB",

		// The same answers on every machine.
		"timezone":     "UTC",
		"log_timezone": "UTC",
		"datestyle":    "ISO, MDY",
		"lc_messages":  "C",
	}
	switch c.opts.Auth {
	case "md5", "scram-sha-256":
		set["password_encryption"] = c.opts.Auth
	}
	if c.opts.TLS {
		set["ssl"] = "on"
		set["ssl_cert_file"] = c.CertFile
		set["ssl_key_file"] = c.keyFile()
	}
	if i.upstream != nil {
		set["primary_conninfo"] = i.upstream.socketDSN() + " application_name=" + quoteDSN(i.Name)
	}
	maps.Copy(set, c.opts.Settings)

	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(set)) {
		fmt.Fprintf(&b, "%s = %s\n", name, quoteLiteral(set[name]))
	}
	return b.String()
}
