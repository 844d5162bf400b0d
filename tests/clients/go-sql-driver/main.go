// The scenario by go-sql-driver/mysql and database/sql: a query without arguments is text, with arguments it is prepared.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

var (
	ctx                                     = context.Background()
	directory, hostname, port               string
	user, password, schema, other, security string
)

// database gives a pool of one connection with the options of a data source name: "a=b&c=d".
func database(name, pass, schema, options string) *sql.DB {
	dsn := fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?maxAllowedPacket=67108864&%s", name, pass, hostname, port, schema, options)
	if security == "tls" {
		dsn += "&tls=unverified"
	}
	db, err := sql.Open("mysql", dsn)
	must(err)
	db.SetMaxOpenConns(1)
	return db
}

func connect(options string) *sql.DB { return database(user, password, schema, options) }

func ping(db *sql.DB) error {
	defer db.Close()
	return db.Ping()
}

var reads = regexp.MustCompile(`(?is)^(\s|/\*.*?\*/|\()*(select|show|with|values|table|desc|explain|call|execute|checksum|analyze|handler \w+ read)`)

func ask(db *sql.DB, step, query string, arguments ...interface{}) {
	said := answer{"sql": query}
	if len(query) > 100 {
		said["sql"] = query[:100]
	}
	said["prepared"] = len(arguments) > 0
	if reads.MatchString(query) && !strings.Contains(query, "DELETE FROM") {
		found, err := db.QueryContext(ctx, query, arguments...)
		tell(step, said, found, err)
		return
	}
	result, err := db.ExecContext(ctx, query, arguments...)
	told(step, said, result, err)
}

func told(step string, said answer, result sql.Result, err error) {
	if err != nil {
		said["error"] = described(err)
	} else {
		said["affected"], _ = result.RowsAffected()
		said["insert_id"], _ = result.LastInsertId()
	}
	emit(step, said)
}

func tell(step string, said answer, found *sql.Rows, err error) {
	if err != nil {
		said["error"] = described(err)
		emit(step, said)
		return
	}
	defer found.Close()
	var sets []answer
	for more := true; more; more = found.NextResultSet() {
		sets = append(sets, set(found))
	}
	said["results"] = sets
	if found.Err() != nil {
		said["error"] = described(found.Err())
	}
	emit(step, said)
}

func set(found *sql.Rows) answer {
	types, err := found.ColumnTypes()
	must(err)
	columns, rows := [][]interface{}{}, [][]interface{}{}
	for _, column := range types {
		nullable, _ := column.Nullable()
		precision, scale, _ := column.DecimalSize()
		columns = append(columns, []interface{}{column.Name(), column.DatabaseTypeName(), nullable, precision, scale})
	}
	for found.Next() {
		rows = append(rows, row(found, len(types)))
	}
	return answer{"columns": columns, "rows": rows}
}

func row(found *sql.Rows, width int) []interface{} {
	values, places := make([]interface{}, width), make([]interface{}, width)
	for n := range values {
		places[n] = &values[n]
	}
	must(found.Scan(places...))
	for n := range values {
		values[n] = plain(values[n])
	}
	return values
}

func connecting() *sql.DB {
	fresh := database(user, password, "", "")
	for _, name := range []string{schema, other} {
		_, err := fresh.Exec("DROP DATABASE IF EXISTS " + name) // unprinted: an earlier run may have been cut off
		must(err)
		ask(fresh, "schemas", "CREATE DATABASE "+name+" CHARACTER SET utf8mb4")
	}
	ask(fresh, "no schema yet", "SHOW TABLES")
	must(fresh.Close())
	attempt("wrong password", ping(database(user, password+"x", schema, "")))
	attempt("unknown schema", ping(database(user, password, "no_such_schema_here", "")))
	db := connect("")
	attempt("connect", db.Ping())
	ask(db, "connect", "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@character_set_client")
	return db
}

func options() {
	set := connect("sql_mode=%27ANSI_QUOTES%27&time_zone=%27%2B03:00%27&collation=utf8mb4_bin&parseTime=true&loc=UTC&columnsWithAlias=true")
	ask(set, "connect options", `SELECT @@sql_mode AS "mode", @@time_zone, @@collation_connection`)
	ask(set, "connect options", "SELECT t.id, t.day_, t.moment, t.stamp FROM types t WHERE id > ? ORDER BY id", 1)
	set.Close()
	latin := connect("charset=latin1&autocommit=0")
	ask(latin, "connect options", "SELECT @@character_set_results, @@autocommit, HEX('é')")
	latin.Close()
	inline := connect("interpolateParams=true")
	ask(inline, "interpolated", "SELECT ?, ?, ?, ?, ?", 1, "qu'o\\te", nil, []byte{0, 255}, 1.5)
	inline.Close()
	for _, options := range []string{"clientFoundRows=true", "clientFoundRows=false"} {
		found := connect(options)
		for n := 0; n < 2; n++ {
			ask(found, options, "UPDATE people SET age = 42 WHERE name = 'Ada'")
		}
		found.Close()
	}
}

func prepared(db *sql.DB) {
	echo := "SELECT ?, ?, ?, ?, ?, ?, ?"
	moment := time.Date(2024, 2, 29, 23, 59, 59, 999999000, time.UTC)
	ask(db, "prepared, many types", echo, 1, -1.5, "text 🐬", []byte{0, 255, 39, 92}, nil, true, moment)
	ask(db, "prepared, many types", echo, int64(-1)<<63, 1e300, "", []byte{}, nil, false, moment.AddDate(0, 1, 0))
	ask(db, "prepared, many types", echo, uint64(1)<<63-1, 0.1, strings.Repeat("ü", 300), pattern(256), "not null", 2, "2024-01-01")
	ask(db, "prepared, unsigned", "SELECT ? + 0", ^uint64(0))
	ask(db, "prepared, every column type", "SELECT * FROM types WHERE id >= ? ORDER BY id", 0)

	insert, err := db.Prepare("INSERT INTO people (name, age) VALUES (?, ?)")
	must(err)
	for _, name := range []string{"prepared 0", "prepared 1", "prepared 1", "prepared 2"} {
		result, err := insert.Exec(name, 9)
		told("prepared insert", answer{"name": name}, result, err)
	}
	insert.Close()
	ask(db, "prepared insert", "SELECT COUNT(*), SUM(age) FROM people WHERE name LIKE ?", "prepared%")

	first, err := db.Prepare("SELECT ? + 1")
	must(err)
	second, err := db.Prepare("SELECT ? + 1")
	must(err)
	for n, handle := range []*sql.Stmt{first, second, first, second} {
		found, err := handle.Query(n)
		tell("two handles, one text", answer{"value": n}, found, err)
	}
	first.Close()
	found, err := second.Query(5)
	tell("two handles, one text", answer{"value": 5}, found, err)
	second.Close()
	ask(db, "close and prepare again", "SELECT ? + 1", 7)

	ask(db, "prepared errors", "SELEC ?", 1)
	ask(db, "prepared errors", "SELECT * FROM no_such_table WHERE id = ?", 1)
	ask(db, "prepared errors", "SELECT CAST(? AS SIGNED)", "abc")
	ask(db, "prepared errors", "SHOW WARNINGS")
	ask(db, "procedure", "CREATE PROCEDURE doubles (IN a INT, OUT b INT) BEGIN SELECT a; SELECT a, a; SET b = a * 2; END")
	ask(db, "procedure", "CALL doubles(21, @d)")
	ask(db, "procedure", "SELECT @d")
	ask(db, "prepared call", "CALL doubles(?, @d)", 4)
	ask(db, "prepared call", "SELECT @d + ?", 1)
	look, err := func() (*sql.Stmt, error) {
		ask(db, "table changes under a handle", "CREATE TABLE changing (a INT)")
		return db.Prepare("SELECT * FROM changing")
	}()
	must(err)
	for _, change := range []string{
		"INSERT INTO changing VALUES (1)",
		"ALTER TABLE changing ADD COLUMN b VARCHAR(5) DEFAULT 'new'",
		"DROP TABLE changing",
	} {
		ask(db, "table changes under a handle", change)
		found, err := look.Query()
		tell("table changes under a handle", answer{"after": change}, found, err)
	}
	look.Close()
	skipped("server-side cursor", "go-sql-driver has none")
	skipped("reset connection, change user", "go-sql-driver has none")
}

func skipped(step, why string) { emit(step, answer{"skip": why}) }

func transactions(db *sql.DB) {
	count := "SELECT COUNT(*) FROM people WHERE name LIKE 'in trx%'"
	for _, end := range []func(*sql.Tx) error{(*sql.Tx).Rollback, (*sql.Tx).Commit} {
		transaction, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		must(err)
		result, err := transaction.Exec("INSERT INTO people (name) VALUES (?)", "in trx")
		told("transaction", answer{}, result, err)
		found, err := transaction.Query(count)
		tell("transaction", answer{}, found, err)
		attempt("transaction", end(transaction))
		ask(db, "transaction", count)
	}
	transaction, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	must(err)
	found, err := transaction.Query(count)
	tell("read only", answer{}, found, err)
	_, err = transaction.Exec("INSERT INTO people (name) VALUES ('in trx, read only')")
	attempt("read only", err)
	attempt("read only", transaction.Commit())
	ask(db, "read only", count)
}

func multiStatements() {
	db := connect("multiStatements=true")
	defer db.Close()
	ask(db, "multi-statements", "SELECT 1; INSERT INTO people (name) VALUES ('batch'); SELECT COUNT(*) FROM people WHERE name = 'batch'")
	ask(db, "multi-statements", "SET @m = 1; BEGIN; UPDATE people SET age = 5 WHERE name = 'batch'")
	ask(db, "multi-statements", "SELECT @m, age FROM people WHERE name = 'batch'")
	ask(db, "multi-statements", "ROLLBACK; UPDATE people SET age = 6 WHERE name = 'batch'")
	ask(db, "multi-statements", "SELECT age FROM people WHERE name = 'batch'")
}

func localInfile(db *sql.DB) {
	mysql.RegisterReaderHandler("lines", func() io.Reader {
		var lines bytes.Buffer
		for n := 0; n < 20000; n++ {
			fmt.Fprintf(&lines, "%d\tword %d\n", n, n)
		}
		return &lines
	})
	ask(db, "load data local", "CREATE TABLE loaded (id INT, word VARCHAR(20))")
	ask(db, "load data local", "LOAD DATA LOCAL INFILE 'Reader::lines' INTO TABLE loaded")
	ask(db, "load data local", "SELECT COUNT(*), SUM(id), MAX(word) FROM loaded")
}

func streaming(db *sql.DB) {
	for _, smallest := range [][]interface{}{nil, {0}} { // as text, and prepared
		query := "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) " +
			"SELECT a.i, REPEAT(SHA2(a.i * b.i, 256), 16) FROM n a, n b WHERE b.i <= 10"
		if smallest != nil {
			query += " AND a.i > ?"
		}
		found, err := db.Query(query+" ORDER BY b.i, a.i", smallest...)
		must(err)
		var data bytes.Buffer
		count := 0
		for ; found.Next(); count++ {
			var number, text string
			must(found.Scan(&number, &text))
			data.WriteString(number + text)
		}
		must(found.Err())
		emit("large result, streamed", answer{"prepared": smallest != nil, "rows": count, "digest": digest(data.Bytes())})
	}
	found, err := db.Query("SELECT id FROM people")
	must(err)
	found.Next()
	must(found.Close())
	ask(db, "stream left half way", "SELECT 'still in step'")
}

func largePackets(db *sql.DB) {
	ask(db, "large packets", "CREATE TABLE large (id INT PRIMARY KEY, data LONGBLOB)")
	chunks := connect("maxAllowedPacket=1048576") // larger parameters are sent ahead as long data
	defer chunks.Close()
	inline := connect("interpolateParams=true")
	defer inline.Close()
	ways := []struct {
		name string
		db   *sql.DB
		size int
	}{
		{"prepared", db, 16<<20 - 1}, {"prepared", db, 20 << 20}, {"long data", chunks, 3 << 20}, {"long data", chunks, 20 << 20},
		{"text", inline, 16<<20 - 60}, {"text", inline, 20 << 20},
	}
	for id, way := range ways {
		data := pattern(way.size)
		_, err := way.db.Exec("INSERT INTO large VALUES (?, ?)", id, data)
		must(err)
		var back []byte
		must(db.QueryRow("SELECT data FROM large WHERE id = ?", id).Scan(&back))
		emit("large packets", answer{"way": way.name, "same": bytes.Equal(data, back), "digest": digest(back)})
	}
	ask(db, "large packets", "DROP TABLE large")
}

func readYourWrites(db *sql.DB) {
	ask(db, "read your writes", "CREATE TABLE mine (id INT AUTO_INCREMENT PRIMARY KEY, session INT, n INT)")
	var wrong []string
	for n := 1; n <= 200; n++ {
		result, err := db.Exec("INSERT INTO mine (session, n) VALUES (0, ?)", n)
		must(err)
		id, _ := result.LastInsertId()
		var count, max int
		must(db.QueryRow("SELECT COUNT(*), MAX(n) FROM mine").Scan(&count, &max))
		if int(id) != n || count != n || max != n {
			wrong = append(wrong, fmt.Sprint(n, id, count, max))
		}
	}
	emit("read your writes", answer{"rounds": 200, "wrong": wrong})
}

// Each of eight sessions must see its own rows at once, whatever the others do.
func sessionsAtOnce(db *sql.DB) {
	var group sync.WaitGroup
	var lock sync.Mutex
	wrong := []string{}
	for session := 1; session <= 8; session++ {
		group.Add(1)
		go func(session int) {
			defer group.Done()
			own := connect("")
			defer own.Close()
			for n := 1; n <= 50; n++ {
				_, err := own.Exec("INSERT INTO mine (session, n) VALUES (?, ?)", session, n)
				must(err)
				var count int
				must(own.QueryRow("SELECT COUNT(*) FROM mine WHERE session = ?", session).Scan(&count))
				if count != n {
					lock.Lock()
					wrong = append(wrong, fmt.Sprintf("session %d sees %d of %d", session, count, n))
					lock.Unlock()
				}
			}
		}(session)
	}
	group.Wait()
	emit("eight sessions at once", answer{"wrong": wrong})
}

func main() {
	if len(os.Args) < 7 || len(os.Args) > 8 {
		fmt.Fprintln(os.Stderr, "usage: run HOST PORT USER PASSWORD SCHEMA [tls|plain]")
		os.Exit(2)
	}
	directory, hostname, port, user, password, schema = os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]
	other, security = schema+"_other", strings.Join(os.Args[7:], "")
	must(mysql.RegisterTLSConfig("unverified", &tls.Config{InsecureSkipVerify: true}))

	db := connecting()
	for _, statement := range statements(directory, schema) {
		if statement.sql == "CALL fails()" {
			skipped(statement.step, "go-sql-driver 1.5 waits forever after an error in a second result")
			continue
		}
		ask(db, statement.step, statement.sql)
	}
	options()
	prepared(db)
	transactions(db)
	multiStatements()
	localInfile(db)
	streaming(db)
	largePackets(db)
	readYourWrites(db)
	sessionsAtOnce(db)
	ask(db, "drop schemas", "DROP DATABASE "+schema)
	ask(db, "drop schemas", "DROP DATABASE "+other)
	attempt("disconnect", db.Close())
}
