package channel

// MaxFrame is the largest HTTP/2 frame payload that a host may send.
const MaxFrame = 16 << 10

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// boundary follows the frames of an HTTP/2 client, so that the first byte that
// cannot belong to the session is noticed before the session sees it.
type boundary struct {
	prefaceSeen int
	headerSeen  int
	length      uint32
	payloadLeft uint32
}

// advance returns how many bytes of b belong to the session. When ok is false
// the session ends there.
func (t *boundary) advance(b []byte) (n int, ok bool) {
	for n < len(b) {
		switch {
		case t.prefaceSeen < len(preface):
			if b[n] != preface[t.prefaceSeen] {
				return n, false
			}
			t.prefaceSeen++
			n++
		case t.payloadLeft > 0:
			step := min(t.payloadLeft, uint32(len(b)-n))
			t.payloadLeft -= step
			n += int(step)
		default:
			if !t.header(b[n]) {
				return n, false
			}
			n++
		}
	}
	return n, true
}

// header takes one byte of a frame header, unless it makes the frame too long.
func (t *boundary) header(c byte) bool {
	if t.headerSeen < 3 {
		length := t.length<<8 | uint32(c)
		if length<<(8*(2-t.headerSeen)) > MaxFrame {
			return false
		}
		t.length = length
	}
	t.headerSeen++
	if t.headerSeen == 9 {
		t.payloadLeft, t.headerSeen, t.length = t.length, 0, 0
	}
	return true
}
