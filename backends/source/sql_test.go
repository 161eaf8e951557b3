package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/cachectl/cachectl/backends/backendtest/servers"
)

func long() bool { return os.Getenv("CACHECTL_LONG") == "1" }

// A database is a server, and a connection to look at it.
type database struct {
	*servers.Server
	dsn  string
	conn *pgconn.PgConn
}

const dsnPassword = "hunter2"

func newDatabase(t *testing.T) *database {
	s := servers.Postgres(t, servers.Options{Password: dsnPassword})
	d := &database{Server: s, dsn: "postgres://postgres:" + dsnPassword + "@" + s.Addr + "/postgres"}
	var err error
	if d.conn, err = pgconn.Connect(t.Context(), d.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.conn.Close(context.Background()) })
	return d
}

func (d *database) do(t *testing.T, sql string) [][]string {
	t.Helper()
	results, err := d.conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var rows [][]string
	for _, r := range results[len(results)-1].Rows {
		var row []string
		for _, v := range r {
			row = append(row, string(v))
		}
		rows = append(rows, row)
	}
	return rows
}

// idle waits until nothing of ours is left on the server.
func (d *database) idle(t *testing.T) {
	t.Helper()
	const ours = "SELECT state, query FROM pg_stat_activity WHERE application_name = 'cachectl'"
	var left [][]string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if left = d.do(t, ours); len(left) == 0 {
			return
		}
	}
	t.Errorf("left on the server: %q", left)
}

func (d *database) query(t *testing.T, m Mapping, sql string, o Options) Stream {
	o.Now = atTestNow
	return Query(t.Context(), QueryOptions{DSN: d.dsn, SQL: sql, Fetch: 3}, m, o)
}

func TestQuery(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	d := newDatabase(t)
	defer d.conn.Close(context.Background())
	t.Run("rows", d.testRows)
	t.Run("types", d.testTypes)
	t.Run("errors", d.testErrors)
	t.Run("read only", d.testReadOnly)
	t.Run("cancelled", d.testCancelled)
	t.Run("secrets", d.testSecrets)
	t.Run("stream", d.testStream)
	d.idle(t)
}

func (d *database) testRows(t *testing.T) {
	d.do(t, `CREATE TABLE users (id int, name text, life interval, seen timestamptz, tags text[], pic bytea, data jsonb);
		INSERT INTO users VALUES
		(1, 'Ann', '90 s', '2026-01-01 00:00:00+00', '{a,"b c",NULL}', '\xff00', '{"x": [1]}'),
		(2, NULL, NULL, NULL, '{}', '', '"text"'), (NULL, 'no key', NULL, NULL, NULL, NULL, NULL), (4, 'Dé"', '0 s', NULL, '{z}', NULL, 'null')`)
	for _, c := range []struct {
		m         Mapping
		sql, want string
	}{
		{Mapping{Key: "user:{id}", Value: "name", TTL: "ttl", Heat: "seen"}, "SELECT id, name, extract(epoch FROM life) AS ttl, seen FROM users ORDER BY id", `
1 string user:1 "Ann" +1m30s heat=1.7672256e+09
2 bad "user:2": field "name" is null, and is the value
3 bad "user:4": field "ttl": a TTL of 0.000000: it is a millisecond at least, or -1 for none
4 bad "": field "id" is null, and the key needs it
`},
		{Mapping{Key: "u{id}", Value: "tags", Type: "list"}, "SELECT id, array_remove(tags, NULL) AS tags FROM users WHERE id IS NOT NULL ORDER BY id", `
1 list u1 a,b c,
2 bad "u2": field "tags": a list without elements, which no cache can hold
3 list u4 z,
`},
		{Mapping{Key: "pic:{id}", Value: "pic", Expires: "seen"}, "SELECT * FROM users ORDER BY id;", `
1 string pic:1 "\xff\x00" +-27h4m5s
2 string pic:2 ""
3 bad "pic:4": field "pic" is null, and is the value
4 bad "": field "id" is null, and the key needs it
`},
		{Mapping{Key: "{data}"}, "SELECT data FROM users WHERE id < 4 ORDER BY id -- the text", `
1 bad "": field "data" is an object or an array, and the key needs a text or a number
2 string text "{\"data\":\"text\"}"
`},
		{Mapping{Key: "h{id}", Type: "hash"}, "VALUES (1, true), (2, NULL)", `end: no column "id": there are column1, column2
`},
		{Mapping{Key: "h{column1}", Type: "hash"}, "VALUES (1, true), (2, NULL)", `
1 hash h1 column1=1,column2=true,
2 hash h2 column1=2,
`},
		{Mapping{Key: "{a}"}, "SELECT 1 AS a WHERE false", ""},
		{Mapping{Key: "{a}"}, "SELECT 1 AS a, 2 AS a", "end: two columns are called \"a\": give one of them another name\n"},
		{Mapping{Key: "{a}"}, "SELECT", "end: the query has no columns\n"},
	} {
		all := events(d.query(t, c.m, c.sql, Options{}))
		if got, want := texts(all), strings.TrimPrefix(c.want, "\n"); got != want {
			t.Errorf("%s:\n%swant\n%s", c.sql, got, want)
			continue
		}
		for i, e := range all {
			if rest := texts(events(d.query(t, c.m, c.sql, Options{From: e.offset}))); e.offset.Skip > 0 && rest != texts(all[i+1:]) {
				t.Errorf("%s: behind %q came\n%s", c.sql, e.text, rest)
			}
		}
	}
	if all := events(d.query(t, Mapping{Key: "{a}"}, "SELECT 1 AS a", Options{From: Offset{Skip: 2}})); len(all) != 1 || !strings.Contains(all[0].text, "end: the query brings 1 rows") {
		t.Error(all)
	}
	if all := events(d.query(t, Mapping{Key: "{a}"}, "SELECT a, repeat('x', a) FROM generate_series(99, 101) AS a", Options{MaxRecord: 103})); len(all) != 3 || !strings.Contains(all[2].text, `3 bad "": a row of more than 103 bytes`) {
		t.Error(all)
	}
}

// testTypes holds whole rows against row_to_json.
func (d *database) testTypes(t *testing.T) {
	d.do(t, "CREATE TYPE mood AS ENUM ('sad', 'a,b')")
	for _, value := range []string{
		"1::int2", "-2::int4", "9223372036854775807::int8", "1.50::numeric", "'NaN'::numeric", "'Infinity'::float8", "'-Infinity'::float4", "1e-7::float8", "0.1::float4", "1e300::float8",
		"true", "false", "NULL::int", `E'a"\\\n\t\x01é😀'::text`, "''::text", "'x'::char(3)", "'n'::name", `'\x00ff'::bytea`, "''::bytea",
		`'{"b": 1, "a": [null, "x"]}'::json`, `'{"b": 1}'::jsonb`, `'"s\u00e9"'::jsonb`, "'null'::json", "'3'::jsonb",
		"'2026-01-02 03:04:05.678'::timestamp", "'2026-01-02 03:04:05+05:30'::timestamptz", "'infinity'::timestamptz", "'2026-01-02'::date", "'03:04'::time", "'1 day 2 hours'::interval",
		"'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid", "'10.0.0.0/8'::inet", "'sad'::mood", "12::oid::text",
		"ARRAY[1,NULL,3]", "ARRAY[]::int[]", "ARRAY[[1,2],[3,4]]", "'[5:6]={1,2}'::int[]", "ARRAY[1.5,'NaN']::numeric[]", "ARRAY[true,false]",
		`ARRAY['a','b"c\',NULL,'NULL','','{},'' ']`, `ARRAY['\x01'::bytea]`, `ARRAY['{"a":1}'::jsonb,'"x"']`, "ARRAY['2026-01-02 03:04:05+00'::timestamptz]", "ARRAY['2026-01-02'::date]",
		`ARRAY['6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid]`,
	} {
		sql := "SELECT 'k' AS k, " + value + " AS v"
		want := d.do(t, "SET timezone = 'Asia/Kolkata'; SELECT row_to_json(q) FROM ("+sql+") q")[0][0]
		dsn := d.dsn + "?timezone=Asia/Kolkata"
		for it, err := range Query(t.Context(), QueryOptions{DSN: dsn, SQL: sql}, Mapping{Key: "{k}"}, Options{}) {
			var got, wanted any
			if err := errors.Join(err, json.Unmarshal(it.Value, &got), json.Unmarshal([]byte(want), &wanted)); err != nil || !reflect.DeepEqual(got, wanted) {
				t.Errorf("%s: %s, want %s: %v", value, it.Value, want, err)
			}
		}
	}
}

func (d *database) testErrors(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT idd\n  FROM (SELECT 1 AS id) x": `the query: column "idd" does not exist (line 1, column 8) (hint: Perhaps you meant to reference the column "x.id".) [SQLSTATE 42703]`,
		"SELECT 'é',\n  nope":                   `the query: column "nope" does not exist (line 2, column 3) [SQLSTATE 42703]`,
		"DELETE FROM users":                     `the query: syntax error at or near "DELETE" (line 1, column 1) (hint: the query is one SELECT, VALUES or WITH ... SELECT) [SQLSTATE 42601]`,
		"SELECT 1; DROP TABLE users":            `cannot insert multiple commands into a prepared statement`,
		"SELECT 1 AS a; ROLLBACK":               `cannot insert multiple commands`,
		"":                                      `syntax error at end of input`,
		"SELECT 1/(3-a) AS a FROM generate_series(0, 9) a": `the query: division by zero`,
		"SELECT * FROM missing":                            `relation "missing" does not exist (line 1, column 15)`,
	} {
		all := events(d.query(t, Mapping{Key: "{a}"}, sql, Options{}))
		if last := all[len(all)-1].text; !strings.Contains(last, want) {
			t.Errorf("%q: %s\nwant %s", sql, last, want)
		}
		if strings.Contains(sql, "1/(3-a)") && len(all) != 4 {
			t.Errorf("%d events before the trouble: %v", len(all), all)
		}
	}
	var q *QueryError
	for _, err := range Query(t.Context(), QueryOptions{DSN: d.dsn, SQL: "SELECT 1 AS a, pg_sleep(10)", Timeout: 20 * time.Millisecond}, Mapping{Key: "{a}"}, Options{}) {
		if !errors.As(err, &q) || !strings.Contains(err.Error(), "statement timeout") {
			t.Errorf("%v", err)
		}
	}
	for _, err := range Query(t.Context(), QueryOptions{DSN: d.dsn, SQL: "SELECT 1"}, Mapping{Key: "{a"}, Options{}) {
		if err == nil || !strings.Contains(err.Error(), "key template") {
			t.Errorf("%v", err)
		}
	}
}

func (d *database) testReadOnly(t *testing.T) {
	d.do(t, `CREATE TABLE precious (n int); INSERT INTO precious VALUES (1);
		CREATE FUNCTION harm() RETURNS int LANGUAGE sql AS 'DELETE FROM precious RETURNING n';
		CREATE FUNCTION open_up() RETURNS text LANGUAGE sql AS $$SELECT set_config('transaction_read_only', 'off', false)$$`)
	for sql, want := range map[string]string{
		"SELECT harm() AS a": "cannot execute DELETE in a read-only transaction",
		"WITH gone AS (DELETE FROM precious RETURNING n) SELECT n AS a FROM gone": "must not contain data-modifying statements",
		"SELECT open_up() AS a, harm()":                                           "read-write mode",
		"SELECT nextval('s') AS a":                                                `relation "s" does not exist`,
		"SELECT n AS a FROM precious FOR UPDATE":                                  "read-only transaction",
	} {
		all := events(d.query(t, Mapping{Key: "{a}"}, sql, Options{}))
		if last := all[len(all)-1].text; !strings.Contains(last, want) {
			t.Errorf("%s: %s", sql, last)
		}
	}
	if n := d.do(t, "SELECT count(*) FROM precious"); n[0][0] != "1" {
		t.Errorf("%s rows are left", n[0][0])
	}
}

func (d *database) testCancelled(t *testing.T) {
	gone := errors.New("enough")
	for _, sql := range []string{"SELECT 1 AS a, pg_sleep(60)", "SELECT a, pg_sleep(CASE WHEN a > 2 THEN 60 ELSE 0 END) FROM generate_series(1, 9) a"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			for len(d.do(t, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'cachectl' AND wait_event = 'PgSleep'")) == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			cancel(gone)
		}()
		var last error
		for _, err := range Query(ctx, QueryOptions{DSN: d.dsn, SQL: sql}, Mapping{Key: "{a}"}, Options{}) {
			last = err
		}
		if <-asked; !errors.Is(last, gone) {
			t.Errorf("%s: %v", sql, last)
		}
		d.idle(t)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	for _, err := range Query(ended, QueryOptions{DSN: d.dsn, SQL: "SELECT 1 AS a"}, Mapping{Key: "{a}"}, Options{}) {
		if !errors.Is(err, gone) {
			t.Errorf("%v", err)
		}
	}
	for it, err := range d.query(t, Mapping{Key: "{a}"}, "SELECT a, repeat('x', 100000) FROM generate_series(1, 100000) a", Options{}) {
		if err != nil || it.Key != "1" {
			t.Error(it.Key, err)
		}
		break
	}
	d.idle(t)
}

// testSecrets: neither errors nor names tell a password.
func (d *database) testSecrets(t *testing.T) {
	other := strings.Replace(d.dsn, dsnPassword, "wrong-one", 1)
	var told []string
	for _, dsn := range []string{
		other, other + "?sslmode=require", other + "?sslmode=nonsense", "postgres://u:wrong-one@127.0.0.1:1/x", "postgres://u:wrong-one@h:port/x", "postgres://u:wrong-one%zz@h/x",
		"host=127.0.0.1 port=1 password=wrong-one nonsense", "password='wrong-one", "wrong-one",
	} {
		name, err := QueryName(dsn)
		told = append(told, name, fmt.Sprint(err))
		for _, err := range Query(t.Context(), QueryOptions{DSN: dsn, SQL: "SELECT 1 AS a"}, Mapping{Key: "{a}"}, Options{}) {
			if err == nil {
				t.Errorf("a row came for %s", dsn)
			}
			told = append(told, fmt.Sprint(err))
		}
	}
	if i := slices.IndexFunc(told, func(s string) bool { return strings.Contains(s, "wrong-one") }); i >= 0 {
		t.Errorf("the password is told: %s", told[i])
	}
	if text := strings.Join(told, "\n"); !strings.Contains(text, "password authentication failed") || !strings.Contains(text, errDSN.Error()) || !strings.Contains(text, "refused") {
		t.Error(text)
	}
	if name, err := QueryName(d.dsn); name != "postgres://"+d.Addr+"/postgres" || err != nil {
		t.Error(name, err)
	}
}

// testStream: memory does not grow with the rows.
func (d *database) testStream(t *testing.T) {
	rows := int64(20_000)
	if long() {
		rows = 1_000_000
	}
	sql := fmt.Sprintf("SELECT id, 'name ' || id AS name, now() AS at FROM generate_series(1, %d) id", rows)
	before, most, n := heapSize(), uint64(0), int64(0)
	began := time.Now()
	for it, err := range Query(t.Context(), QueryOptions{DSN: d.dsn, SQL: sql}, Mapping{Key: "user:{id}"}, Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; it.Line != n || it.Key != fmt.Sprint("user:", n) {
			t.Fatalf("row %d is %+v", n, it)
		}
		if n%(rows/10) == 0 {
			most = max(most, heapSize())
		}
	}
	t.Logf("%d rows in %v; heap %d KB more at most", n, time.Since(began), (int64(most)-int64(before))/1024)
	if n != rows || most > before+8<<20 {
		t.Errorf("%d of %d rows; heap grew from %d to %d bytes", n, rows, before, most)
	}
}
