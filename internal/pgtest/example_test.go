package pgtest_test

import (
	"fmt"

	"github.com/penstock/penstock/internal/pgtest"
)

func ExampleParse() {
	t, err := pgtest.Parse("one.pgt", []byte(`# One statement.
send
Query {"String":"SELECT 1"}
----

until
ReadyForQuery
----
{"Type":"ReadyForQuery","TxStatus":"I"}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	// pgtest.Run(ctx, target, t) returns the same text with the target's answers.
	fmt.Println(len(t.Recorded()), "bytes recorded in", t.Name)
	// Output: 121 bytes recorded in one.pgt
}
