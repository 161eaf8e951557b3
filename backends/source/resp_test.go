package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

func wire(args ...string) string { return string(backends.AppendCommand(nil, args...)) }

func commandsOf(ro RESPOptions) func(io.Reader, Options) Stream {
	return func(r io.Reader, o Options) Stream { return RESP(r, ro, o) }
}

func TestRESP(t *testing.T) {
	set := wire("SET", "k", "v\r\n")
	check(t, set+"\r\n"+wire("select", "0")+wire("rpush", "l", "a", "b", "c", "d", "e", "f", "g", "h")+"*0\r\n"+
		wire("MSET", "a", "1", "b", "2", "c", "3")+wire("XGROUP", "CREATE", "x", "g", "$")+
		"SET \"a b\\x41\\n\" 'it''s'\nset i 'it\\'s' \r\n\n  \nEXPIRE k 10\n"+wire("JSON.SET", "j", "$", "{}"), `
1 command k "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nv\r\n\r\n"
3 command l "*10\r\n$5\r\nrpush\r\n$1\r\nl\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n"
4 command a "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
4 command b "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n"
4 command c "*3\r\n$3\r\nSET\r\n$1\r\nc\r\n$1\r\n3\r\n"
5 command x "*5\r\n$6\r\nXGROUP\r\n$6\r\nCREATE\r\n$1\r\nx\r\n$1\r\ng\r\n$1\r\n$\r\n"
6 bad "": quotes that do not match
7 command i "*3\r\n$3\r\nset\r\n$1\r\ni\r\n$4\r\nit's\r\n"
8 command k "*3\r\n$6\r\nEXPIRE\r\n$1\r\nk\r\n$2\r\n10\r\n"
9 command j "*4\r\n$8\r\nJSON.SET\r\n$1\r\nj\r\n$1\r\n$\r\n$2\r\n{}\r\n"
`, commandsOf(RESPOptions{}))
	check(t, set+wire("SETEX", "a", "10", "1")+wire("PSETEX", "b", "10", "2")+wire("set", "c", "3", "pxat", "1767323055000")+
		wire("SET", "d", "4", "ex", "0")+wire("SET", "e", "5", "NX")+wire("MSET", "f", "6", "g", "7")+wire("APPEND", "h", "8")+wire("SETNX", "i", "9"), `
1 string k "v\r\n"
2 string a "1" +10s
3 string b "2" +10ms
4 string c "3" +10s
5 command d "*5\r\n$3\r\nSET\r\n$1\r\nd\r\n$1\r\n4\r\n$2\r\nex\r\n$1\r\n0\r\n"
6 command e "*4\r\n$3\r\nSET\r\n$1\r\ne\r\n$1\r\n5\r\n$2\r\nNX\r\n"
7 string f "6"
7 string g "7"
8 command h "*3\r\n$6\r\nAPPEND\r\n$1\r\nh\r\n$1\r\n8\r\n"
9 command i "*3\r\n$5\r\nSETNX\r\n$1\r\ni\r\n$1\r\n9\r\n"
`, commandsOf(RESPOptions{Strings: true}))
}

// TestRefusedCommands: nothing but data comes through, and nothing goes to another
// database than it is meant for.
func TestRefusedCommands(t *testing.T) {
	check(t, wire("FLUSHALL")+wire("CONFIG", "SET", "requirepass", "hunter2")+wire("EVAL", "return 1", "0")+wire("DEL", "a", "b")+
		wire("SELECT", "3")+wire("SET", "other", "1")+wire("MSET", "x", "1")+wire("SELECT", "0")+wire("SET", "k", "v")+wire("SET", "k")+
		wire("MSET", "a", "1", "b")+wire("SUNIONSTORE", "a", "b")+wire("XGROUP", "DESTROY", "a", "b", "c")+wire("select")+"FLUSHDB\n", `
1 bad "": FLUSHALL is not loaded: it empties the server
2 bad "": CONFIG is not loaded: it changes the server
3 bad "": EVAL is not loaded: scripts may do anything
4 bad "a": DEL is not loaded: it removes keys
5 bad "": SELECT of another database: what follows would go there; name the database in the target's URL, and split the file
6 bad "other": it stands behind "SELECT 3", and would go to that database
7 bad "x": it stands behind "SELECT 3", and would go to that database
9 command k "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"
10 bad "k": SET has too few arguments
11 bad "": MSET has a key without a value
12 bad "": "SUNIONSTORE" is no command that writes the data of one key
13 bad "a": XGROUP "DESTROY": only CREATE and CREATECONSUMER are loaded
14 bad "": SELECT of another database: what follows would go there; name the database in the target's URL, and split the file
15 bad "": FLUSHDB is not loaded: it empties the database
`, commandsOf(RESPOptions{}))
	for _, err := range RESP(strings.NewReader(wire("AUTH", "hunter2")+"auth hunter2\n"), RESPOptions{}, Options{}) {
		var bad *BadRecord
		if !errors.As(err, &bad) || bytes.Contains(bad.Raw, []byte("hunter2")) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %q", err, bad.Raw)
		}
	}
}

func TestOutOfStep(t *testing.T) {
	good := wire("SET", "k", "v") // 27 bytes
	for broken, want := range map[string]string{
		"*3\r\n$3\r\nSET\r\n$1\r\nkey\r\n$1\r\nv\r\n": "out of step at byte 45, in command 2, which begins at byte 27: an argument of 1 bytes does not end there",
		"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n$1\r\nv\r\n":   "an argument of 3 bytes does not end there",
		"*3\n$3\nSET\n$1\nk\n$1\nv\n":                 "out of step at byte 29, in command 2, which begins at byte 27: a line that ends with LF alone",
		"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n":              "out of step at byte 47, in command 2, which begins at byte 27: the input ends inside it",
		"*":                                           "the input ends inside it",
		"*1":                                          "the input ends inside it",
		"*1\r\n$3\r\nSE":                              "the input ends inside it",
		"*1\r\n$3\r\nSET":                             "the input ends inside it",
		"*x\r\n$1\r\nk\r\n":                           "no length behind '*'",
		"*1\r\n$-1\r\n                 ":              "an argument of length -1",
		"*1\r\n:3\r\n                  ":              "':' where '$' is to be",
		"$3\r\nfoo\r\n":                               `a command begins with "*", not with '$'`,
		"+OK\r\n":                                     `not with '+'`,
		"*99999999\r\n$1\r\n1\r\n             ":       "a length of 99999999, which no server takes",
		"*9999999999999999999999999\r\n$1\r\n1\r\n    ": "no length behind '*'",
	} {
		all := events(RESP(strings.NewReader(good+broken), RESPOptions{}, Options{}))
		if len(all) != 2 || !strings.HasPrefix(all[0].text, "1 command k") || !strings.HasPrefix(all[1].text, "end: out of step") || !strings.Contains(all[1].text, want) {
			t.Errorf("%q: %v\nwant %s", broken, all, want)
		}
		for _, err := range RESP(strings.NewReader(broken), RESPOptions{}, Options{}) {
			if !errors.Is(err, ErrOutOfStep) {
				t.Errorf("%q: %v", broken, err)
			}
		}
	}
}

// TestLinesAsTheServer holds commands that are lines against a real server, which is given
// the same ones.
func TestLinesAsTheServer(t *testing.T) {
	server := servers.Redis(t, servers.Default(t), servers.Options{})
	conn, err := net.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	answers := bufio.NewReader(conn)
	random := rand.New(rand.NewPCG(5, 6))
	const letters = `ab"'\x41 n\"'\` + "\t\v\xff"
	lines := []string{`"\x4g"`, `"\x4"`, `"\x`, `'\''`, `"a"b`, `a"b c"`, `a'b'`, `"\n\r\t\b\a\q"`, `''`, `""`, `\x41`, `'\n'`, `"`, `'\'`}
	for range 3000 {
		line := make([]byte, 1+random.IntN(10))
		for i := range line {
			line[i] = letters[random.IntN(len(letters))]
		}
		lines = append(lines, string(line))
	}
	refused := 0
	for _, line := range lines {
		args, err := splitLine(nil, []byte("RPUSH list - "+line))
		want := "-ERR Protocol error: unbalanced quotes in request\r\n"
		if err == nil {
			want = string(backends.AppendCommand(nil, args[2:]...))
		}
		// An error in the protocol ends the connection.
		if io.WriteString(conn, "DEL list\nRPUSH list - "+line+"\n"); err == nil {
			io.WriteString(conn, "LRANGE list 0 -1\n")
		}
		answers.ReadString('\n')
		got := make([]byte, 0, len(want))
		if err == nil {
			answers.ReadString('\n')
			got = got[:len(want)]
			_, err := io.ReadFull(answers, got)
			if err != nil {
				t.Fatalf("%q: the server says %q: %v", line, got, err)
			}
		} else {
			text, _ := answers.ReadString('\n')
			got = []byte(text)
			conn.Close()
			if conn, err = net.Dial("tcp", server.Addr); err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			answers.Reset(conn)
			refused++
		}
		if string(got) != want {
			t.Fatalf("%q: the server says %q, and we %q", line, got, want)
		}
	}
	if refused < 100 || refused > len(lines)-100 {
		t.Errorf("%d of %d lines are refused", refused, len(lines))
	}
}

// FuzzRESP: what comes through are whole commands from the table, in the order of the
// input, each with the key that its Record names; nothing else does.
func FuzzRESP(f *testing.F) {
	f.Add([]byte(wire("SET", "k", "v") + wire("MSET", "a", "1", "b", "2") + "SET 'x' \"y\"\n"))
	f.Add([]byte("*3\r\n$3\r\nSET\r\n$1\r\nk"))
	f.Add([]byte(wire("SELECT", "1") + wire("INCR", "k")))
	f.Fuzz(func(t *testing.T, input []byte) {
		if bytes.HasPrefix(input, []byte{0x1f, 0x8b}) || len(input) > 3 && isZstd(input) {
			return
		}
		for _, strings := range []bool{false, true} {
			ended := false
			for it, err := range RESP(bytes.NewReader(input), RESPOptions{Strings: strings}, Options{MaxRecord: 1000}) {
				if ended {
					t.Fatal("something behind the end")
				}
				if ended = Ends(err); err != nil || it.Form == backends.FormString && strings {
					continue
				}
				args, err := backends.Command(it.Value)
				if err != nil || it.Form != backends.FormCommand {
					t.Fatalf("%q: %v", it.Value, err)
				}
				if w, err := writerOf(args); err != nil || string(args[w.key]) != it.Key {
					t.Fatalf("%q of key %q: %v", args, it.Key, err)
				}
			}
		}
	})
}
