import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/** The console by the JDBC driver, in each of its ways to ask. */
public final class ConsoleJdbc {
    private static void check(boolean condition, Object what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    private static void look(String mode) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("preferQueryMode", mode);
        properties.setProperty("ApplicationName", "jdbc " + mode);
        properties.setProperty("prepareThreshold", "2");
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
            + System.getenv("PGDATABASE");
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            try (Statement statement = connection.createStatement();
                    ResultSet result = statement.executeQuery("SHOW STATS_TOTALS")) {
                ResultSetMetaData columns = result.getMetaData();
                check(columns.getColumnTypeName(1).equals("text"), columns.getColumnTypeName(1));
                check(columns.getColumnTypeName(2).equals("numeric"), columns.getColumnTypeName(2));
                check(!result.next(), "nobody has asked for anything");
            }
            try (PreparedStatement statement = connection.prepareStatement("SHOW LISTS")) {
                for (int n = 0; n < 6; n++) { // from text to binary, as the threshold has it
                    try (ResultSet result = statement.executeQuery()) {
                        check(result.next() && result.getString(1).equals("databases"), "a list");
                        check(result.getInt("items") == 1, result.getInt("items"));
                    }
                }
            }
            try (PreparedStatement statement = connection.prepareStatement("SHOW TOTALS")) {
                for (int n = 0; n < 6; n++) {
                    try (ResultSet result = statement.executeQuery()) {
                        check(result.next(), "a sum");
                        check(result.getBigDecimal("value").compareTo(BigDecimal.ZERO) == 0, "nothing");
                    }
                }
            }
            connection.setAutoCommit(false); // it says BEGIN ahead of the next
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(2);
                int rows = 0;
                try (ResultSet result = statement.executeQuery("SHOW HELP")) {
                    while (result.next()) {
                        rows++;
                    }
                }
                check(rows > 20, rows);
                statement.execute("SET application_name = 'other'");
                check(statement.getWarnings().getMessage().contains("ignored"), statement.getWarnings());
            }
            connection.commit();
            try (Statement statement = connection.createStatement()) {
                statement.executeQuery("SHOW NOTHING");
                check(false, "it was answered");
            } catch (SQLException error) {
                check("42601".equals(error.getSQLState()), error);
            }
            connection.rollback();
        }
    }

    public static void main(String[] arguments) throws SQLException {
        for (String mode : new String[] {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"}) {
            look(mode);
        }
        System.out.println("console: ok");
    }
}
