package redis

import "fmt"

// mostNested is how deep arrays of an answer may be nested. Those of Redis have four levels.
const mostNested = 16

// ack reads the answer to a command, whatever it is, and keeps nothing of it but a
// refusal of the server. Its error is of the connection.
func (w *wire) ack() (null bool, refusal, err error) {
	null, text, err := w.pass(mostNested)
	if text != "" {
		refusal = replyError(text)
	}
	return null, refusal, err
}

func (w *wire) pass(depth int) (null bool, refusal string, err error) {
	kind, text, err := w.header()
	if err != nil {
		return false, "", err
	}
	switch kind {
	case '+', ':':
		return false, "", nil
	case '-':
		return false, string(text), nil
	case '$':
		n, err := number(text, maxBulk)
		if err != nil || n < 0 {
			return true, "", err
		}
		_, err = w.in.Discard(int(n) + 2)
		return false, "", err
	case '*':
		n, err := number(text, maxArray)
		if err != nil || n < 0 {
			return true, "", err
		}
		if depth == 0 {
			return false, "", protocolError("arrays within arrays without end")
		}
		for range n {
			if _, _, err := w.pass(depth - 1); err != nil {
				return false, "", err
			}
		}
		return false, "", nil
	}
	return false, "", protocolError(fmt.Sprintf("an answer that begins with %q", kind))
}
