package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// A QueryOptions says what is asked of PostgreSQL.
type QueryOptions struct {
	DSN     string        // "postgres://user@host/db" or "host=... user=..."; the PG... variables and ~/.pgpass count
	SQL     string        // one SELECT, VALUES or WITH ... SELECT, sent as it is
	Timeout time.Duration // of each statement, which is a fetch of some rows; 0: the server's own
	Fetch   int           // rows a fetch; 0: 1000
}

// Query reads the rows of a PostgreSQL query: the mapping's fields are its columns. Rows
// come from a cursor in a read-only transaction of one snapshot (REPEATABLE READ), so
// memory does not grow with them, and nothing can be written. That snapshot keeps the
// server from cleaning up while it is open.
//
// A value is the text that PostgreSQL writes, but for bytea, which is its bytes, and
// bool, which is true or false. A whole row is JSON as row_to_json writes it; values of
// types that are not the server's own are strings there. A bad record's Raw is the row as
// JSON. Whoever goes on at an Offset needs a query with an ORDER BY that leaves no choice.
//
// An error of the server is a *QueryError. No error tells the password. The end of ctx
// cancels the query on the server.
func Query(ctx context.Context, q QueryOptions, m Mapping, o Options) Stream {
	o.complete()
	return func(yield func(Item, error) bool) {
		if err := m.Validate(); err != nil {
			yield(Item{}, err)
			return
		}
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		c := cursor{ctx: inner, options: o, mapping: m, query: q}
		if c.query.Fetch <= 0 {
			c.query.Fetch = 1000
		}
		err := c.open()
		defer c.close()
		for more := true; more && err == nil; {
			more, err = c.fetch(yield, cancel)
		}
		if err == nil || c.left {
			return
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		yield(Item{}, c.told(err))
	}
}

// A QueryError is what PostgreSQL says about a query.
type QueryError struct {
	Message string
	Code    string // SQLSTATE
	Detail  string
	Hint    string
	Line    int // where in the query, from 1; 0: it does not say
	Column  int // in characters, from 1
}

func (e *QueryError) Error() string {
	text := "the query: " + e.Message
	if e.Line > 0 {
		text += fmt.Sprintf(" (line %d, column %d)", e.Line, e.Column)
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Hint != "" {
		text += " (hint: " + e.Hint + ")"
	}
	return text + " [SQLSTATE " + e.Code + "]"
}

// errDSN does not repeat the DSN, which may hold a password in a place where it was not
// recognised.
var errDSN = errors.New(`the DSN cannot be read: write it as "postgres://user@host:5432/database?sslmode=require", and leave the password to PGPASSWORD or ~/.pgpass`)

func parseDSN(dsn string) (*pgconn.Config, error) {
	c, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, errDSN
	}
	return c, nil
}

// QueryName is the database of a DSN without its password, fit for a table or a log.
func QueryName(dsn string) (string, error) {
	c, err := parseDSN(dsn)
	if err != nil {
		return "", err
	}
	return "postgres://" + net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))) + "/" + c.Database, nil
}

// A cursor is a query under way.
type cursor struct {
	ctx     context.Context
	query   QueryOptions
	mapping Mapping
	options Options

	conn    *pgconn.PgConn
	columns []string
	formats []int16
	kinds   []pgKind
	binding *binding
	cells   []Cell
	keys    keyring
	memory  []byte // of the rows' cells
	row     int64
	left    bool // the reader wants no more
}

// cancelGrace is how long the server may take to stop before its connection is closed.
const cancelGrace = 2 * time.Second

// declare stands in front of the query. Positions in errors are counted from its begin.
const declare = "DECLARE cachectl NO SCROLL CURSOR FOR "

// open connects, and declares the cursor. Each statement is sent by itself, in a way in
// which PostgreSQL takes one only: what stands behind a semicolon in the query is refused.
func (c *cursor) open() error {
	config, err := parseDSN(c.query.DSN)
	if err != nil {
		return err
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	for name, value := range map[string]string{
		"application_name": "cachectl", "client_encoding": "UTF8",
	} {
		if _, ok := config.RuntimeParams[name]; !ok || name == "client_encoding" {
			config.RuntimeParams[name] = value
		}
	}
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelGrace}
	}
	if c.conn, err = pgconn.ConnectConfig(c.ctx, config); err != nil {
		return err
	}
	statements := []string{
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		"SET LOCAL datestyle = 'ISO'", "SET LOCAL extra_float_digits = 1", // not in the startup message: PgBouncer refuses what it does not know
		"SET LOCAL idle_in_transaction_session_timeout = 0", // whoever paces the load waits between two fetches
	}
	if c.query.Timeout > 0 {
		statements = append(statements, fmt.Sprintf("SET LOCAL statement_timeout = %d", max(1, c.query.Timeout.Milliseconds())))
	}
	for _, statement := range append(statements, declare+c.query.SQL) {
		if _, err := c.conn.ExecParams(c.ctx, statement, nil, nil, nil, nil).Close(); err != nil {
			return err
		}
	}
	if done := c.options.From.Skip; done > 0 {
		tag, err := c.conn.ExecParams(c.ctx, fmt.Sprintf("MOVE FORWARD %d FROM cachectl", done), nil, nil, nil, nil).Close()
		if err != nil {
			return err
		}
		if moved := tag.RowsAffected(); moved < done {
			return fmt.Errorf("the query brings %d rows, and was to go on behind row %d: it is not what it was", moved, done)
		}
		c.row = done
	}
	return c.describe()
}

// describe learns the columns.
func (c *cursor) describe() error {
	d, err := c.conn.Prepare(c.ctx, "", fmt.Sprintf("FETCH FORWARD %d FROM cachectl", c.query.Fetch), nil)
	if err != nil {
		return err
	}
	for _, f := range d.Fields {
		kind := kindOf(f.DataTypeOID)
		c.columns, c.kinds = append(c.columns, f.Name), append(c.kinds, kind)
		format := int16(0) // text
		if kind.form == pgBytes {
			format = 1
		}
		c.formats = append(c.formats, format)
	}
	c.cells = make([]Cell, len(c.columns))
	if len(c.columns) == 0 {
		return errors.New("the query has no columns")
	}
	c.binding, err = c.mapping.bind(c.columns)
	return err
}

// fetch yields some rows, and tells whether there may be more.
func (c *cursor) fetch(yield func(Item, error) bool, cancel func()) (more bool, err error) {
	rows := c.conn.ExecPrepared(c.ctx, "", nil, nil, c.formats)
	n := 0
	for ; rows.NextRow(); n++ {
		if !c.yield(rows.Values(), yield) {
			c.left = true
			cancel() // the server need not bring the rest
			rows.Close()
			return false, nil
		}
	}
	_, err = rows.Close()
	return n == c.query.Fetch, err
}

// yield makes an item of a row, whose memory is the connection's.
func (c *cursor) yield(values [][]byte, yield func(Item, error) bool) bool {
	c.row++
	size := 0
	for _, v := range values {
		size += len(v)
	}
	it := Item{Line: c.row, Offset: Offset{Line: c.row, Skip: c.row}}
	if size > c.options.MaxRecord {
		return pass(yield, &it, because("a row of more than %d bytes", c.options.MaxRecord), nil)
	}
	if len(c.memory)+size > cap(c.memory) {
		c.memory = make([]byte, 0, max(chunkSize/4, size))
	}
	for i, v := range values {
		if v == nil {
			c.cells[i] = Cell{Kind: Null}
			continue
		}
		at := len(c.memory)
		c.memory = append(c.memory, v...)
		c.cells[i] = c.kinds[i].cell(c.memory[at:len(c.memory):len(c.memory)])
	}
	row := &tableRow{c.columns, c.cells}
	err := c.binding.item(&it, c.cells, row, &c.keys, c.options.Now)
	if err != nil {
		return pass(yield, &it, err, row.object())
	}
	return pass(yield, &it, nil, nil)
}

func (c *cursor) close() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), cancelGrace)
	defer cancel()
	c.conn.Close(ctx)
}

// told is an error in our words.
func (c *cursor) told(err error) error {
	var pg *pgconn.PgError
	if c.conn == nil || !errors.As(err, &pg) { // of connecting it says to whom
		return err
	}
	e := &QueryError{Message: pg.Message, Code: pg.Code, Detail: pg.Detail, Hint: pg.Hint}
	if at := int(pg.Position) - len(declare); at > 0 {
		before := c.query.SQL
		for i := range before {
			if at--; at == 0 {
				before = before[:i]
				break
			}
		}
		last := strings.LastIndexByte(before, '\n') + 1
		e.Line, e.Column = strings.Count(before, "\n")+1, utf8.RuneCountInString(before[last:])+1
	}
	if e.Hint == "" && pg.Code == "42601" { // syntax_error
		e.Hint = "the query is one SELECT, VALUES or WITH ... SELECT"
	}
	return e
}
