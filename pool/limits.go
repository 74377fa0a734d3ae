package pool

import "sync"

// limits counts the server connections, open and being opened, of each
// database and each user over all pools of a Set.
type limits struct {
	// mu guards the maps. It is a leaf: nothing is called under it.
	mu       sync.Mutex
	database map[string]int
	user     map[string]int
}

func newLimits() *limits {
	return &limits{database: map[string]int{}, user: map[string]int{}}
}

// take counts one more connection, unless a limit forbids it. 0 is no limit.
func (l *limits) take(k Key, maxDatabase, maxUser int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if maxDatabase > 0 && l.database[k.Database] >= maxDatabase || maxUser > 0 && l.user[k.User] >= maxUser {
		return false
	}
	l.database[k.Database]++
	l.user[k.User]++
	return true
}

// full says which of the limits are reached.
func (l *limits) full(k Key, maxDatabase, maxUser int) (database, user bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maxDatabase > 0 && l.database[k.Database] >= maxDatabase, maxUser > 0 && l.user[k.User] >= maxUser
}

func (l *limits) give(k Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.database[k.Database]--
	l.user[k.User]--
}

// count returns the connections of a database and of a user.
func (l *limits) count(k Key) (database, user int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.database[k.Database], l.user[k.User]
}
