package config

import (
	"maps"
	"slices"
	"strings"
)

// Effect is the moment from which a changed setting counts.
type Effect int

const (
	// Live means at once, also for connections that are open.
	Live Effect = iota
	// NewConnections means for connections opened or logged in from then on.
	NewConnections
	// Restart means when Penstock is started again.
	Restart
)

// String returns live, new connections or restart.
func (e Effect) String() string {
	switch e {
	case Live:
		return "live"
	case NewConnections:
		return "new connections"
	default:
		return "restart"
	}
}

// Setting is a setting as SHOW CONFIG tells it.
type Setting struct {
	// Key is the full name, such as pool.size or databases.shop.primary.
	Key string
	// Value is what is in force, secrets replaced by ****.
	Value string
	// Default is what is in force when the file does not say otherwise.
	Default string
	// Effect is the moment from which a change counts.
	Effect Effect
	// Doc is a sentence or two for the user.
	Doc string
}

// Settings returns all settings outside databases, then for each database its
// connection strings and whatever differs from its default.
func (c *Config) Settings() []Setting {
	var all []Setting
	for _, e := range c.entries() {
		if e.always || e.value != e.deflt {
			all = append(all, Setting{Key: e.key, Value: e.value, Default: e.deflt, Effect: e.row.effect, Doc: e.row.doc})
		}
	}
	return all
}

// entry is one setting of one Config.
type entry struct {
	key   string
	row   row
	value string // For people, without secrets.
	deflt string // Likewise.
	exact string // For comparison, with secrets.

	// always means that the entry is shown even with its default.
	always bool
	// inherited means that the value is the one of [pool].
	inherited bool
}

// entries returns every setting of c in the order of the table.
func (c *Config) entries() []entry {
	var all []entry
	deflt := Default()
	for _, s := range sections() {
		if s.global == nil {
			continue
		}
		p := path{s.name}
		for _, r := range s.rows {
			all = append(all, r.entry(p, s.global(c), s.global(deflt), true))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Databases)) {
		all = append(all, c.Databases[name].entries(path{"databases"}.key(name), c.Pool)...)
	}
	return all
}

// entries returns every setting of the database at p; base is [pool].
func (d *Database) entries(p path, base Pool) []entry {
	var all []entry
	deflt := defaultDatabase(d.Name, base)
	deflt.Routing.Enabled = len(d.Replicas) > 0
	for _, s := range sections() {
		if s.database == nil {
			continue
		}
		at := p
		if s.name != "" {
			at = p.key(s.name)
		}
		for _, r := range s.rows {
			e := r.entry(at, s.database(d), s.database(deflt), r.name == "primary")
			e.inherited = s.name == "pool" && e.exact == exact(r.field(&base))
			all = append(all, e)
		}
	}
	return all
}

// entry describes the row's field in section; deflt is the same section with
// default values.
func (r row) entry(p path, section, deflt any, always bool) entry {
	field := r.field(section)
	return entry{
		key:    p.key(r.name).String(),
		row:    r,
		value:  r.show(field),
		deflt:  r.show(r.field(deflt)),
		exact:  exact(field),
		always: always,
	}
}

// show returns the field's value for people, without secrets.
func (r row) show(field any) string {
	switch f := field.(type) {
	case *string:
		if r.dsn {
			return redactDSN(*f)
		}
		return *f
	case *[]string:
		return strings.Join(*f, ", ")
	case replicaList:
		return f.write(redactDSN)
	case *map[string]string:
		var all []string
		for _, name := range slices.Sorted(maps.Keys(*f)) {
			all = append(all, name+"="+redacted)
		}
		return strings.Join(all, ", ")
	default:
		return exact(field)
	}
}
