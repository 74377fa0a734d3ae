package wire

import "sync"

// BufferSize is the size of every receive buffer in bytes: a frame that is
// larger is streamed through it in parts.
const BufferSize = 16 << 10

// Buffer is a receive buffer: bytes between the read and the write mark have
// been received and not yet consumed. It is lent to a Receiver for one call.
type Buffer struct {
	r, w int
	data [BufferSize]byte
}

//nolint:gochecknoglobals // a free list, the one kind of shared variable the style sheet allows
var buffers = sync.Pool{New: func() any { return new(Buffer) }}

func getBuffer() *Buffer {
	b := buffers.Get().(*Buffer)
	b.r, b.w = 0, 0
	return b
}

func putBuffer(b *Buffer) { buffers.Put(b) }

// Bytes returns what is received and not consumed. The slice is valid until
// the Receiver returns.
func (b *Buffer) Bytes() []byte { return b.data[b.r:b.w] }

// Len is the number of unconsumed bytes.
func (b *Buffer) Len() int { return b.w - b.r }

// Consume marks the first n unconsumed bytes as done with.
func (b *Buffer) Consume(n int) {
	if n < 0 || b.r+n > b.w {
		panic("bug: consume beyond the received bytes")
	}
	b.r += n
}

// free returns the room behind the received bytes, after moving a partial
// frame to the front where that makes room.
func (b *Buffer) free() []byte {
	if b.r == b.w {
		b.r, b.w = 0, 0
	} else if b.r > 0 && b.w > BufferSize/2 {
		b.w = copy(b.data[:], b.data[b.r:b.w])
		b.r = 0
	}
	return b.data[b.w:]
}
