package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The checks below are for one value; those that compare settings are in
// cross.go. They return a complaint that quotes no value, "" = fine.

func between(low, high int) func(any) string {
	return func(value any) string {
		n := value.(*int)
		if *n < low || *n > high {
			return fmt.Sprintf("must be from %d to %d", low, high)
		}
		return ""
	}
}

func positive(value any) string {
	if *value.(*time.Duration) <= 0 {
		return "must be more than 0"
	}
	return ""
}

func someBytes(value any) string {
	if *value.(*int64) <= 0 {
		return "must be more than 0"
	}
	return ""
}

func share(value any) string {
	if f := *value.(*float64); !(f >= 0 && f <= 1) { // NaN is neither.
		return "must be from 0.0 to 1.0"
	}
	return ""
}

func addresses(value any) string {
	seen := map[string]bool{}
	for i, a := range *value.(*[]string) {
		if complaint := address(a); complaint != "" {
			return fmt.Sprintf("entry %d %s", i+1, complaint)
		}
		if seen[a] && !strings.HasSuffix(a, ":0") {
			return fmt.Sprintf("entry %d is there twice", i+1)
		}
		seen[a] = true
	}
	return ""
}

func optionalAddress(value any) string {
	if a := *value.(*string); a != "" {
		return address(a)
	}
	return ""
}

// address tells what is wrong with a host:port to listen on.
func address(a string) string {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return "must be host:port, such as 127.0.0.1:6432 or [::1]:6432"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "has a port that is no number from 0 to 65535"
	}
	switch {
	case host == "" || host == "*":
		return "has no host; for all addresses write 0.0.0.0 or [::]"
	case strings.Contains(host, ":"):
		if _, err := netip.ParseAddr(host); err != nil {
			return "has a host that is no IP address"
		}
	case !isHostName(host):
		return "has a host that is neither a name nor an IP address"
	}
	return ""
}

// isHostName reports whether host is made of a name's characters, or is an IPv4
// address if it consists of digits and dots.
func isHostName(host string) bool {
	if strings.Trim(host, "0123456789.") == "" {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	for label := range strings.SplitSeq(host, ".") {
		if !isBareKey(label) || strings.HasPrefix(label, "-") {
			return false
		}
	}
	return true
}

func networks(value any) string {
	for i, n := range *value.(*[]string) {
		if _, err := netip.ParsePrefix(n); err != nil {
			return fmt.Sprintf("entry %d must be a network such as 10.0.0.0/8", i+1)
		}
	}
	return ""
}

func names(value any) string {
	for i, n := range *value.(*[]string) {
		if !isName(n) {
			return fmt.Sprintf("entry %d must be a user name of 1 to 63 bytes without control characters", i+1)
		}
	}
	return ""
}

// isName reports whether PostgreSQL could have a user or database of that name.
func isName(name string) bool {
	return name != "" && len(name) <= 63 && strings.IndexFunc(name, unicode.IsControl) < 0
}

// isLoopback reports whether a, a checked host:port, is reachable only from
// this machine.
func isLoopback(a string) bool {
	host, _, err := net.SplitHostPort(a)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
