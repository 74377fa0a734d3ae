package proxy

import "testing"

func TestParseBegin(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]beginning{
		"BEGIN":                {},
		"begin;":               {},
		" begin work ":         {},
		"Begin Transaction ; ": {},
		"start transaction":    {},
		"begin read only":      {readOnly: true},
		"BEGIN READ ONLY;":     {readOnly: true},
		"start transaction read only, isolation level repeatable read": {readOnly: true, isolated: true},
		"begin isolation level serializable read only deferrable":      {readOnly: true, serializable: true, isolated: true},
		"begin isolation level read committed":                         {},
		"begin isolation level read uncommitted, read write":           {readWrite: true},
		"begin read only read write not deferrable":                    {readOnly: true, readWrite: true},
	} {
		if got, ok := parseBegin(text); !ok || got != want {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{
		"", "begi", "begin foo", "begin; select 1", "begin read", "begin ,read only", "begin read only,", "begin read only,,read write",
		"begin isolation level", "begin isolation level read", "start", "start work", "begin work work", "begin -- x", "begin/**/",
		"begin isolation level serializablex", "beginread only", "begin not", "begin\x00", "begin\vread only", "begin\u00a0work", "begin read only\vx", "begin transaction transaction",
		"commit",
	} {
		if b, ok := parseBegin(text); ok {
			t.Errorf("%q is taken for a BEGIN: %+v", text, b)
		}
	}
}

func TestParseEnd(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"commit": "COMMIT", "COMMIT;": "COMMIT", "end work": "COMMIT", " abort ": "ROLLBACK", "rollback transaction;": "ROLLBACK",
		"rollback to x": "", "commit and chain": "", "commit prepared 'x'": "", "commit; select 1": "", "": "", "end if": "",
	} {
		if got := parseEnd(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
