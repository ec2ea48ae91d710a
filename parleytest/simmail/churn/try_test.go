package churn
import ("testing";"time")
func TestTry(t *testing.T){
 for _,L:=range []time.Duration{1,2,8,24}{ for _,d:=range []float64{0,.3}{
  for _,m:=range []Config{{Plain:true},{},{AtOnce:true},{AtOnce:true,Adapt:true},{Adapt:true}} {
   m.Life=L*time.Hour; m.Droppers=d; m.Seed=1
   s:=time.Now(); r,err:=Run(m); if err!=nil{t.Fatal(err)}
   t.Logf("L=%d d=%.1f plain=%v atonce=%v adapt=%v: %.5f formula %.5f held %d deaths %d rep %d per %v copies8 %.1f (%.1f) dig8 %.0f took %v",L,d,m.Plain,m.AtOnce,m.Adapt,Delivered(r),Delivery(20,time.Hour,m.Life,168*time.Hour,1-d),r.Held,r.Deaths,r.Repairs,r.Period,float64(r.Early.Copies)/1e4,Copies(20,time.Hour,m.Life,8*time.Hour),float64(r.Early.Digests)/1e4,time.Since(s))
  }}}
}
