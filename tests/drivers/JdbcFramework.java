import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Properties;

/**
 * What frameworks do by JDBC: statements that the server prepares from the fifth use on, autosave, sessions with a
 * schema, a level of isolation and read-only transactions of their own.
 */
public final class JdbcFramework {
    private static final String PREFIX = "jdbc_framework_" + ProcessHandle.current().pid();
    private static final int CLIENTS = 6;
    private static final int[] LEVELS = {
        Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_REPEATABLE_READ, Connection.TRANSACTION_SERIALIZABLE,
    };
    private static final String[] LEVEL_NAMES = {"read committed", "repeatable read", "serializable"};

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

    private static void expect(String state, PreparedStatement statement) throws SQLException {
        try {
            statement.execute();
        } catch (SQLException error) {
            check(state.equals(error.getSQLState()), error);
            return;
        }
        throw new AssertionError("no " + state);
    }

    private static String one(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            check(rows.next(), sql);
            return rows.getString(1);
        }
    }

    /** One client: its schema, its level, and transactions in which some statements fail. */
    private static void client(int number) throws SQLException {
        String autosave = new String[] {"always", "conservative", "never"}[number % 3];
        try (Connection conn = connect("prepareThreshold", "5", "autosave", autosave,
                "ApplicationName", "framework " + number)) {
            int level = number % LEVELS.length;
            conn.setTransactionIsolation(LEVELS[level]);
            conn.setAutoCommit(false);
            conn.setSchema(PREFIX + "_" + number);
            conn.commit();
            try (PreparedStatement who = conn.prepareStatement("SELECT who, current_schema FROM mine WHERE id = ?");
                 PreparedStatement add = conn.prepareStatement("INSERT INTO added VALUES (?, ?)");
                 PreparedStatement divide = conn.prepareStatement("SELECT 10 / ?::int")) {
                for (int turn = 0; turn < 16; turn++) {
                    look(conn, who, number);
                    check(LEVEL_NAMES[level].equals(one(conn, "SHOW transaction_isolation")), "level");
                    check(("framework " + number).equals(one(conn, "SHOW application_name")), "name");
                    add.setInt(1, turn);
                    add.setString(2, "client " + number);
                    check(add.executeUpdate() == 1, "insert");
                    if (autosave.equals("always")) {
                        divide.setInt(1, 0);
                        expect("22012", divide);
                        divide.setInt(1, 5);
                        try (ResultSet rows = divide.executeQuery()) {
                            check(rows.next() && rows.getInt(1) == 2, "divide");
                        }
                        look(conn, who, number);
                    }
                    if (turn % 2 == 0) {
                        conn.commit();
                    } else {
                        conn.rollback();
                    }
                }
                check("8".equals(one(conn, "SELECT count(*) FROM added WHERE who = 'client " + number + "'")), "added");
            }
            conn.commit();
            changedTable(conn, autosave);
            readOnly(conn);
        }
    }

    private static void look(Connection conn, PreparedStatement who, int number) throws SQLException {
        who.setInt(1, 1);
        try (ResultSet rows = who.executeQuery()) {
            check(rows.next() && rows.getString(1).equals("schema " + number), "rows of another schema");
            check(rows.getString(2).equals(PREFIX + "_" + number), "another schema");
        }
    }

    /** "cached plan must not change result type": the driver prepares again, if it may go back to a savepoint. */
    private static void changedTable(Connection conn, String autosave) throws SQLException {
        try (PreparedStatement all = conn.prepareStatement("SELECT * FROM changes");
             Statement statement = conn.createStatement()) {
            for (int turn = 0; turn < 3; turn++) {
                for (int n = 0; n < 7; n++) {
                    try (ResultSet rows = all.executeQuery()) {
                        check(rows.next() && rows.getMetaData().getColumnCount() == turn + 1, "columns");
                    }
                    conn.commit();
                }
                statement.execute("ALTER TABLE changes ADD COLUMN c" + turn + " int");
                if (autosave.equals("never")) {
                    conn.commit();
                    return;
                }
                try (ResultSet rows = all.executeQuery()) {
                    check(rows.next() && rows.getMetaData().getColumnCount() == turn + 2, "more columns");
                }
                conn.commit();
            }
        }
    }

    private static void readOnly(Connection conn) throws SQLException {
        conn.setReadOnly(true);
        for (int n = 0; n < 7; n++) {
            try (PreparedStatement add = conn.prepareStatement("INSERT INTO added VALUES (1, 'never')")) {
                expect("25006", add);
            }
            conn.rollback();
        }
        conn.setReadOnly(false);
        check("off".equals(one(conn, "SHOW transaction_read_only")), "read only");
        conn.rollback();
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection conn = connect(); Statement statement = conn.createStatement()) {
            for (int n = 0; n < CLIENTS; n++) {
                String schema = PREFIX + "_" + n;
                statement.execute("CREATE SCHEMA " + schema + "; CREATE TABLE " + schema + ".mine AS SELECT 1 AS id, 'schema "
                    + n + "' AS who; CREATE TABLE " + schema + ".added (n int, who text); CREATE TABLE " + schema
                    + ".changes AS SELECT 1 AS id");
            }
        }
        List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        List<Thread> threads = new ArrayList<>();
        for (int n = 0; n < CLIENTS; n++) {
            int number = n;
            threads.add(new Thread(() -> {
                try {
                    client(number);
                } catch (Throwable failure) {
                    failures.add(new AssertionError("client " + number, failure));
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
            for (int n = 0; n < CLIENTS; n++) {
                statement.execute("DROP SCHEMA " + PREFIX + "_" + n + " CASCADE");
            }
        }
        for (Throwable failure : failures) {
            failure.printStackTrace();
        }
        if (!failures.isEmpty()) {
            System.exit(1);
        }
        System.out.println("JDBC, as by frameworks: ok");
    }
}
