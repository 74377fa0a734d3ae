package stats_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/stats"
)

// numbered is a Totals whose fields are from, from+1, from+2 ...
func numbered(from int64) stats.Totals {
	var t stats.Totals
	v := reflect.ValueOf(&t).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(from + int64(i))
	}
	return t
}

func fields(t stats.Totals) []int64 {
	var out []int64
	v := reflect.ValueOf(t)
	for _, field := range v.Fields() {
		out = append(out, field.Int())
	}
	return out
}

func TestAddAndSubTakeEveryCounter(t *testing.T) {
	t.Parallel()
	a, b := numbered(100), numbered(1)
	for i, sum := range fields(a.Add(b)) {
		if want := 101 + 2*int64(i); sum != want {
			t.Errorf("Add: field %d is %d, want %d", i, sum, want)
		}
	}
	for i, difference := range fields(a.Sub(b)) {
		if difference != 99 {
			t.Errorf("Sub: field %d is %d, want 99", i, difference)
		}
	}
}

func TestValuesAreInTheOrderOfShowStats(t *testing.T) {
	t.Parallel()
	got := stats.Totals{
		ServerAssignments: 1, Xacts: 2, Queries: 3, Received: 4, Sent: 5,
		XactTime: 6 * time.Microsecond, QueryTime: 7 * time.Microsecond, WaitTime: 8 * time.Microsecond,
		ClientParses: 9, ServerParses: 10, Binds: 11,
	}.Values()
	for i, v := range got {
		if v != int64(i+1) {
			t.Errorf("value %d is %v", i+1, v)
		}
	}
	if len(got) != 11 {
		t.Errorf("%d values", len(got))
	}
}

func TestAveragesArePgBouncers(t *testing.T) {
	t.Parallel()
	counted := stats.Totals{
		ServerAssignments: 600, Xacts: 1200, Queries: 2400, Received: 6000, Sent: 12000,
		XactTime: 12 * time.Second, QueryTime: 6 * time.Second, WaitTime: 3 * time.Second,
		ClientParses: 59, ServerParses: 60, Binds: 120,
	}
	want := stats.Totals{
		ServerAssignments: 10, Xacts: 20, Queries: 40, Received: 100, Sent: 200, // per second
		XactTime:     10 * time.Millisecond,   // per transaction
		QueryTime:    2500 * time.Microsecond, // per statement
		WaitTime:     5 * time.Millisecond,    // per server assignment
		ClientParses: 0, ServerParses: 1, Binds: 2,
	}
	if got := counted.Per(time.Minute); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestAveragesOfNothingAreZero(t *testing.T) {
	t.Parallel()
	if got := numbered(1000).Per(0); got != (stats.Totals{}) {
		t.Errorf("over no time: %+v", got)
	}
	if got := (stats.Totals{XactTime: time.Second, QueryTime: time.Second, WaitTime: time.Second}).Per(time.Minute); got != (stats.Totals{}) {
		t.Errorf("time without events: %+v", got)
	}
}
