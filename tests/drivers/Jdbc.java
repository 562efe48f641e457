import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import org.postgresql.PGConnection;

/** The JDBC driver against the server of PGHOST, PGPORT and so on. */
public final class Jdbc {
    private static final String TABLE = "jdbc_" + ProcessHandle.current().pid();

    private static Connection connect(String... options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        for (int i = 0; i < options.length; i += 2) {
            properties.setProperty(options[i], options[i + 1]);
        }
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
            + System.getenv("PGDATABASE");
        return DriverManager.getConnection(url, properties);
    }

    private static void check(boolean condition, Object what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    private static void expect(String state, SqlRun run) throws SQLException {
        try {
            run.run();
        } catch (SQLException error) {
            check(state.equals(error.getSQLState()), error);
            return;
        }
        throw new AssertionError("no " + state);
    }

    private interface SqlRun {
        void run() throws SQLException;
    }

    private static void prepared(String threshold) throws SQLException {
        try (Connection conn = connect("prepareThreshold", threshold);
             PreparedStatement sum = conn.prepareStatement("SELECT ? + 1, ?::text")) {
            for (int n = 0; n < 20; n++) {
                sum.setInt(1, n);
                sum.setString(2, "é" + n);
                try (ResultSet rows = sum.executeQuery()) {
                    check(rows.next() && rows.getInt(1) == n + 1 && rows.getString(2).equals("é" + n), n);
                }
            }
            try (PreparedStatement divide = conn.prepareStatement("SELECT 1 / ?::int")) {
                for (int n = 0; n < 10; n++) {
                    divide.setInt(1, 0);
                    expect("22012", divide::executeQuery);
                    divide.setInt(1, 1);
                    try (ResultSet rows = divide.executeQuery()) {
                        check(rows.next() && rows.getInt(1) == 1, "divide");
                    }
                }
            }
        }
    }

    private static void transactions(String who) throws SQLException {
        try (Connection conn = connect("prepareThreshold", "1"); Statement statement = conn.createStatement()) {
            conn.setAutoCommit(false);
            conn.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            try (PreparedStatement insert = conn.prepareStatement("INSERT INTO " + TABLE + " VALUES (?, ?)")) {
                insert.setInt(1, 1);
                insert.setString(2, who);
                check(insert.executeUpdate() == 1, "insert");
                Savepoint savepoint = conn.setSavepoint();
                expect("42P01", () -> statement.executeQuery("SELECT * FROM no_such_table"));
                conn.rollback(savepoint);
                conn.commit();
                for (int n = 0; n < 500; n++) {
                    insert.setInt(1, n);
                    insert.setString(2, who);
                    insert.addBatch();
                }
                check(Arrays.stream(insert.executeBatch()).sum() == 500, "batch");
                conn.rollback();
            }
            try (ResultSet rows = statement.executeQuery(
                    "SELECT count(*) FROM " + TABLE + " WHERE who = '" + who + "'")) {
                check(rows.next() && rows.getInt(1) == 1, "one row is left");
            }
            statement.executeUpdate("DELETE FROM " + TABLE + " WHERE who = '" + who + "'");
            conn.commit();
        }
    }

    private static void cursors() throws SQLException {
        try (Connection conn = connect(); Statement statement = conn.createStatement()) {
            conn.setAutoCommit(false);
            statement.setFetchSize(7);
            for (int round = 0; round < 8; round++) {
                try (ResultSet rows = statement.executeQuery("SELECT n FROM generate_series(1, 100) n")) {
                    int sum = 0;
                    while (rows.next()) {
                        sum += rows.getInt(1);
                        if (sum == 10) {
                            try (Statement other = conn.createStatement();
                                 ResultSet between = other.executeQuery("SELECT 1")) {
                                check(between.next(), "in between");
                            }
                        }
                    }
                    check(sum == 5050, sum);
                }
            }
            conn.commit();
        }
    }

    private static void copies(String who) throws Exception {
        try (Connection conn = connect()) {
            var copy = conn.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder text = new StringBuilder();
            for (int n = 0; n < 3000; n++) {
                text.append(n).append('\t').append(who).append('\n');
            }
            check(copy.copyIn("COPY " + TABLE + " FROM STDIN", new StringReader(text.toString())) == 3000, "in");
            StringWriter out = new StringWriter();
            copy.copyOut("COPY (SELECT * FROM " + TABLE + " WHERE who = '" + who + "' ORDER BY n) TO STDOUT", out);
            check(out.toString().contentEquals(text), "out");
            var given = copy.copyIn("COPY " + TABLE + " FROM STDIN");
            given.cancelCopy();
            expect("22P02", () -> {
                try {
                    copy.copyIn("COPY " + TABLE + " FROM STDIN", new StringReader("bad\tx\n"));
                } catch (java.io.IOException error) {
                    throw new AssertionError(error);
                }
            });
            try (Statement statement = conn.createStatement()) {
                check(statement.executeUpdate("DELETE FROM " + TABLE + " WHERE who = '" + who + "'") == 3000, "del");
            }
        }
    }

    private static void autosave() throws SQLException {
        try (Connection conn = connect("autosave", "always", "prepareThreshold", "1");
             Statement statement = conn.createStatement()) {
            conn.setAutoCommit(false);
            for (int n = 0; n < 5; n++) {
                statement.execute("SELECT 1");
                expect("22012", () -> statement.execute("SELECT 1 / 0"));
                statement.execute("SELECT 2");
            }
            conn.commit();
        }
    }

    private static void cancelling() throws Exception {
        try (Connection conn = connect(); Statement statement = conn.createStatement()) {
            statement.setQueryTimeout(1);
            expect("57014", () -> statement.execute("SELECT pg_sleep(60)"));
            statement.setQueryTimeout(0);
            statement.execute("SELECT 1");
        }
    }

    private static void everything(String who) throws Exception {
        prepared("5");
        prepared("1");
        prepared("-1");
        transactions(who);
        cursors();
        copies(who);
        autosave();
        cancelling();
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection conn = connect(); Statement statement = conn.createStatement()) {
            statement.execute("CREATE TABLE " + TABLE + " (n int, who text)");
        }
        List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        List<Thread> threads = new ArrayList<>();
        for (int n = 0; n < 6; n++) {
            String who = "thread " + n;
            threads.add(new Thread(() -> {
                try {
                    everything(who);
                } catch (Throwable failure) {
                    failures.add(failure);
                }
            }));
        }
        for (Thread thread : threads) {
            thread.start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        try (Connection conn = connect(); Statement statement = conn.createStatement()) {
            statement.execute("DROP TABLE " + TABLE);
        }
        for (Throwable failure : failures) {
            failure.printStackTrace();
        }
        if (!failures.isEmpty()) {
            System.exit(1);
        }
        System.out.println("JDBC: ok");
    }
}
