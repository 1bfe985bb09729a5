using System.Collections;

namespace Microsoft.ML.OnnxRuntime.Native;

/// <summary>Disposes its elements, last first; empty afterwards.</summary>
sealed class DisposableList<T>(T[] items) : IDisposableReadOnlyCollection<T>
    where T : IDisposable
{
    T[] _items = items;

    public int Count => _items.Length;

    public T this[int index] => _items[index];

    public IEnumerator<T> GetEnumerator() => ((IEnumerable<T>)_items).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public void Dispose()
    {
        var items = Interlocked.Exchange(ref _items, []);
        for (int i = items.Length - 1; i >= 0; i--)
        {
            items[i].Dispose();
        }
    }
}
