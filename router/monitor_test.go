package router

import "testing"

func TestEndOfTheLastRecord(t *testing.T) {
	t.Parallel()
	const page, segment = 8192, 16 << 20
	for lsn, want := range map[LSN]LSN{
		0x3000028: 0x3000000, // an empty segment
		0x3000018: 0x3000018, // no place for a record at all
		0x3002018: 0x3002000, // an empty page
		0x3002028: 0x3002028, // 16 bytes of a record that began on the page before
		0x3002020: 0x3002020,
		0x3002000: 0x3002000,
		0x30000A0: 0x30000A0,
	} {
		if got := lsn.End(page, segment); got != want {
			t.Errorf("%s: %s, want %s", lsn, got, want)
		}
	}
	if got := LSN(0x3000028).End(0, 0); got != 0x3000028 {
		t.Errorf("without sizes: %s", got)
	}
}
