package router

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/penstock/penstock/internal/sqlscan"
)

// Target is where a statement goes, or where someone wishes it to go.
type Target uint8

// The targets. TargetNone is no wish, TargetAuto the wish that the router decides.
const (
	TargetNone Target = iota
	TargetAuto
	TargetPrimary
	TargetReplica
)

// ParseTarget reads primary, replica or auto.
func ParseTarget(s string) (Target, error) {
	switch strings.ToLower(s) {
	case "primary":
		return TargetPrimary, nil
	case "replica":
		return TargetReplica, nil
	case "auto":
		return TargetAuto, nil
	}
	return TargetNone, fmt.Errorf("target is %q, not primary, replica or auto", s)
}

// String returns the word that ParseTarget reads.
func (t Target) String() string {
	switch t {
	case TargetAuto:
		return "auto"
	case TargetPrimary:
		return "primary"
	case TargetReplica:
		return "replica"
	default:
		return "none"
	}
}

// MostRules is how many rules a database may have.
const MostRules = 64

// Rule is a wish for the statements that match all of its fields; an empty field
// matches everything.
type Rule struct {
	User            string
	ApplicationName string
	Table           string // a name anywhere in the text, or schema.name
	Fingerprint     string // 16 hexadecimal digits, as the console shows them
	Target          Target
}

// RuleSet is a set of rules by number, the first rule being 1.
type RuleSet uint64

// Rules are the rules of a database. A nil Rules has none.
type Rules struct {
	rules        []Rule
	schemas      []string
	fingerprints []uint64
	any          RuleSet // rules that match every text
}

// NewRules checks and prepares rules.
func NewRules(rules []Rule) (*Rules, error) {
	if len(rules) > MostRules {
		return nil, fmt.Errorf("%d routing rules are more than %d", len(rules), MostRules)
	}
	r := &Rules{rules: append([]Rule(nil), rules...), schemas: make([]string, len(rules)), fingerprints: make([]uint64, len(rules))}
	for i := range r.rules {
		rule := &r.rules[i]
		if rule.Fingerprint != "" {
			n, err := strconv.ParseUint(rule.Fingerprint, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("routing rule %d: fingerprint: %w", i+1, err)
			}
			r.fingerprints[i] = n
		}
		if rule.Target == TargetNone {
			return nil, fmt.Errorf("routing rule %d has no target", i+1)
		}
		if schema, name, ok := strings.Cut(rule.Table, "."); ok {
			r.schemas[i], rule.Table = schema, name
		}
		if rule.Table == "" && rule.Fingerprint == "" {
			r.any |= 1 << i
		}
	}
	return r, nil
}

// ForSession returns the rules that a session matches. Ask again when the
// application_name changes.
func (r *Rules) ForSession(user, applicationName string) RuleSet {
	var set RuleSet
	if r == nil {
		return 0
	}
	for i := range r.rules {
		rule := &r.rules[i]
		if (rule.User == "" || rule.User == user) && (rule.ApplicationName == "" || rule.ApplicationName == applicationName) {
			set |= 1 << i
		}
	}
	return set
}

// ForStatement returns the rules that a text matches.
func (r *Rules) ForStatement(st *sqlscan.Statement) RuleSet {
	if r == nil {
		return 0
	}
	set := r.any
	for i := range r.rules {
		if r.any&(1<<i) == 0 && r.matches(i, st) {
			set |= 1 << i
		}
	}
	return set
}

func (r *Rules) matches(i int, st *sqlscan.Statement) bool {
	rule := &r.rules[i]
	if rule.Fingerprint != "" && r.fingerprints[i] != st.Fingerprint {
		return false
	}
	if rule.Table == "" {
		return true
	}
	for j := range st.Names {
		n := &st.Names[j]
		if n.Name == rule.Table && !n.Call && (r.schemas[i] == "" || n.Parts == 1 || n.Schema == r.schemas[i]) {
			return true
		}
	}
	return false
}

// first returns the number and the wish of the first rule of a set.
func (r *Rules) first(set RuleSet) (number int, target Target) {
	if r == nil || set == 0 {
		return 0, TargetNone
	}
	i := bits.TrailingZeros64(uint64(set))
	return i + 1, r.rules[i].Target
}
