package config

import (
	"cmp"
	"maps"
	"slices"
)

// Change is one setting that differs between two Configs.
type Change struct {
	// Key is the full name of the setting; databases.NAME stands for a database
	// that came or went.
	Key string
	// Old is the value before, secrets replaced by ****, "" for a new database.
	Old string
	// New is the value after, likewise. "(secret changed)" is added where only a
	// secret differs.
	New string
	// Effect is the moment from which the change counts.
	Effect Effect
}

// Diff returns what a reload from old to new changes. A changed default in
// [pool] is told once, not for each database that takes it over. Files that
// settings name (users, certificates) are not compared.
func Diff(old, new *Config) []Change {
	var changes []Change
	before := map[string]entry{}
	for _, e := range old.entries() {
		before[e.key] = e
	}
	for _, e := range new.entries() {
		was, known := before[e.key]
		if !known || was.exact == e.exact || was.inherited && e.inherited {
			continue
		}
		change := Change{Key: e.key, Old: was.value, New: e.value, Effect: e.row.effect}
		if change.Old == change.New {
			change.New += " (secret changed)"
		}
		changes = append(changes, change)
	}
	changes = append(changes, comeAndGone(old, new)...)
	slices.SortStableFunc(changes, func(a, b Change) int { return cmp.Compare(a.Key, b.Key) })
	return changes
}

// comeAndGone returns the databases that stand in only one of old and new.
func comeAndGone(old, new *Config) []Change {
	var changes []Change
	for name, d := range old.Databases {
		if new.Databases[name] == nil {
			changes = append(changes, Change{Key: path{"databases"}.key(name).String(), Old: redactDSN(d.Primary), Effect: NewConnections})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(new.Databases)) {
		if old.Databases[name] == nil {
			changes = append(changes, Change{Key: path{"databases"}.key(name).String(), New: redactDSN(new.Databases[name].Primary), Effect: NewConnections})
		}
	}
	return changes
}
