package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// replicaList is the field of the row databases.NAME.replicas: connection
// strings and weights, which the file keeps in one list.
type replicaList struct{ *Database }

func (l replicaList) write(show func(string) string) string {
	var all []string
	for i, text := range l.Replicas {
		text = show(text)
		if i < len(l.Weights) && l.Weights[i] != 1 {
			text += " weight=" + strconv.Itoa(l.Weights[i])
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// assign decodes a TOML value into a field. Errors do not quote the value.
func assign(field, value any) error {
	switch f := field.(type) {
	case *string:
		return assignAs(f, value, "a text in quotes")
	case *bool:
		return assignAs(f, value, "true or false")
	case *[]string:
		return assignList(f, value)
	case *map[string]string:
		return errors.New("must be a table")
	case *time.Duration:
		d, err := parseDuration(value)
		if err == nil {
			*f = d
		}
		return err
	case *int64:
		n, err := parseSize(value)
		if err == nil {
			*f = n
		}
		return err
	case *int:
		n, ok := value.(int64)
		if !ok || n > math.MaxInt || n < math.MinInt {
			return errors.New("must be a whole number")
		}
		*f = int(n)
	case *float64:
		if n, ok := value.(int64); ok {
			value = float64(n)
		}
		return assignAs(f, value, "a number")
	default:
		return fmt.Errorf("bug: no decoder for %T", field)
	}
	return nil
}

func assignAs[T any](f *T, value any, want string) error {
	v, ok := value.(T)
	if !ok {
		return fmt.Errorf("must be %s", want)
	}
	*f = v
	return nil
}

func assignList(f *[]string, value any) error {
	items, ok := value.([]any)
	if !ok {
		return errors.New(`must be a list such as ["a", "b"]`)
	}
	list := make([]string, len(items))
	for i, item := range items {
		if list[i], ok = item.(string); !ok {
			return errors.New(`must be a list of texts such as ["a", "b"]`)
		}
	}
	*f = list
	return nil
}

// parseDuration reads "30s", "1h30m" or "0".
func parseDuration(value any) (time.Duration, error) {
	text, ok := value.(string)
	if !ok {
		return 0, errors.New(`must be a duration in quotes such as "30s"`)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New(`must be a duration such as "500ms", "30s", "5m" or "1h"`)
	}
	if d < 0 {
		return 0, errors.New("must not be negative")
	}
	return d, nil
}

// formatDuration writes d as people write it: 3600s, not 1h0m0s.
func formatDuration(d time.Duration) string {
	switch {
	case d%time.Second == 0:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	case d%time.Millisecond == 0:
		return strconv.FormatInt(int64(d/time.Millisecond), 10) + "ms"
	default:
		return d.String()
	}
}

type unit struct {
	name  string
	bytes int64
}

// units lists PostgreSQL's units of memory, the largest first.
func units() []unit {
	return []unit{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}, {"B", 1}}
}

// parseSize reads "64MB" or "0"; units are powers of 1024, as in PostgreSQL.
func parseSize(value any) (int64, error) {
	text, ok := value.(string)
	if !ok {
		return 0, errors.New(`must be a size in quotes such as "64MB"`)
	}
	if strings.TrimSpace(text) == "0" {
		return 0, nil
	}
	for _, u := range units() {
		digits, ok := strings.CutSuffix(strings.TrimSpace(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil {
			break
		}
		if n < 0 {
			return 0, errors.New("must not be negative")
		}
		if n > math.MaxInt64/u.bytes {
			return 0, errors.New("is too large")
		}
		return n * u.bytes, nil
	}
	return 0, errors.New(`must be a size such as "64kB", "64MB" or "1GB"`)
}

func formatSize(n int64) string {
	for _, u := range units() {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// exact writes a field such that different values differ, secrets included.
func exact(field any) string {
	switch f := field.(type) {
	case *string:
		return *f
	case *bool:
		return strconv.FormatBool(*f)
	case *int:
		return strconv.Itoa(*f)
	case *int64:
		return formatSize(*f)
	case *float64:
		return formatFloat(*f)
	case *time.Duration:
		return formatDuration(*f)
	case *[]string:
		return fmt.Sprintf("%q", *f)
	case replicaList:
		return f.write(strconv.Quote)
	case *map[string]string:
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(*f)) {
			fmt.Fprintf(&b, "%q=%q ", name, (*f)[name])
		}
		return b.String()
	case *[]RoutingRule:
		return formatRules(*f, func(r *RoutingRule) string {
			return fmt.Sprintf("{ match = %s, target = %q }", formatMatch(&r.Match), r.Target)
		})
	case *[]CacheRule:
		return formatRules(*f, func(r *CacheRule) string {
			return fmt.Sprintf("{ match = %s, ttl = %q, cache = %t }", formatMatch(&r.Match), formatDuration(r.TTL), r.Cache)
		})
	default:
		return fmt.Sprintf("bug: no text for %T", field)
	}
}

func formatFloat(f float64) string {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func formatRules[T any](rules []T, one func(*T) string) string {
	var all []string
	for i := range rules {
		all = append(all, one(&rules[i]))
	}
	return strings.Join(all, ", ")
}

func formatMatch(m *Match) string {
	var all []string
	for _, r := range matchRows() {
		if v := *r.field(m).(*string); v != "" {
			all = append(all, fmt.Sprintf("%s = %q", r.name, v))
		}
	}
	if all == nil {
		return "{}"
	}
	return "{ " + strings.Join(all, ", ") + " }"
}
