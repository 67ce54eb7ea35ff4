package headway;

import java.util.function.BiFunction;
import java.util.function.Function;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.connector.read.streaming.ReadLimit;
import org.apache.spark.sql.connector.read.streaming.SupportsAdmissionControl;
import org.apache.spark.sql.execution.streaming.Offset;
import org.apache.spark.sql.execution.streaming.Source;
import org.apache.spark.sql.execution.streaming.runtime.SerializedOffset;
import org.apache.spark.sql.types.StructType;
import scala.Option;

/** A source of micro-batches that asks the driver's Python for its offsets and its rows; see driven.py. */
public final class DrivenSource implements Source, SupportsAdmissionControl {
    private final StructType schema;
    private final Function next;
    private final BiFunction rows;

    public DrivenSource(StructType schema, Function next, BiFunction rows) {
        this.schema = schema;
        this.next = next;
        this.rows = rows;
    }

    public StructType schema() {
        return schema;
    }

    public org.apache.spark.sql.connector.read.streaming.Offset latestOffset(
            org.apache.spark.sql.connector.read.streaming.Offset start, ReadLimit limit) {
        return new SerializedOffset((String) next.apply(start == null ? null : start.json()));
    }

    public Dataset getBatch(Option start, Offset end) {
        return (Dataset) rows.apply(start.isEmpty() ? null : ((Offset) start.get()).json(), end.json());
    }

    public Option getOffset() {
        throw new UnsupportedOperationException("Spark asks a source with admission control for latestOffset");
    }

    public void stop() {}
}
